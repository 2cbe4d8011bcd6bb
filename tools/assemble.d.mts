export function assemble(file: string): Promise<string>;
