/** What the process ends with: scripts branch on it, so the numbers never change. */
export const EXIT = {
  done: 0,
  error: 1,
  /** The command line is wrong; nothing was done. */
  usage: 2,
  /** The key, consumer or dead letter that was asked for is not there. */
  notFound: 3,
  /** Another process has the database open. */
  locked: 4,
  /** Bytes on the disk are not what was written. */
  corruption: 5,
  /** A condition of a write did not hold. */
  conflict: 6,
  /** By Ctrl-C, as shells number it: 128 + SIGINT. */
  interrupted: 130,
  /** 128 + SIGTERM. */
  terminated: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
