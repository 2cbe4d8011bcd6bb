/** Colours, where they are wanted. */
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];
export type Paint = (style: Style, text: string) => string;

export const painter =
  (isOn: boolean): Paint =>
  (style, text) =>
    isOn ? styleText(style, text) : text;
