/** Inputs that went wrong once, shrunk. */
export const CASES: readonly { readonly target: string; readonly what: string; readonly input: string }[] = [
  { target: 'CSV import', what: 'a row of one empty field in quotes, before a carriage return', input: '22220a2222' },
  {
    target: 'salvage of a table',
    what: 'a block whose checksum is right, and which cannot be uncompressed',
    input: '14f030010101010101010101ff04024a',
  },
];
