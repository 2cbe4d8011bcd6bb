/** Colours, where they are wanted. */
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];
export type Paint = (style: Style, text: string) => string;

export const painter =
  (isOn: boolean): Paint =>
  (style, text) =>
    // Whoever calls has looked at the stream and at NO_COLOR. styleText's own look takes CI=true for a terminal without colours.
    isOn ? styleText(style, text, { validateStream: false }) : text;
