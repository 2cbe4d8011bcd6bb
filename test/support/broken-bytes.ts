/** Bytes that cannot be read from some place on, as by a bug: what a decoder does not know must not become "bad bytes". */
export const brokenFrom = (bytes: Uint8Array, index: number): Uint8Array =>
  new Proxy(bytes, {
    get: (target, name) => {
      if (typeof name === 'string' && Number(name) >= index) throw new TypeError('a bug');
      return Reflect.get(target, name, target) as unknown;
    },
  });
