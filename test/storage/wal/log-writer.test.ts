import { describe, expect, it } from 'vitest';
import { ClosedError, IoError } from '../../../src/errors.ts';
import type { WritableFile } from '../../../src/storage/file-system/file-system.ts';
import { MemoryFileSystem } from '../../../src/storage/file-system/memory-file-system.ts';
import { LogWriter } from '../../../src/storage/wal/log-writer.ts';
import { framed, joined } from '../../support/log-bytes.ts';

/** Keeps what is appended; each call can be made to fail, and background calls can be held back. */
class RecordingFile implements WritableFile {
  readonly path = '/log';
  readonly calls: string[] = [];
  bytes: Uint8Array = new Uint8Array();
  failure: Error | undefined;
  hold: Promise<void> | undefined;

  appendNow(bytes: Uint8Array): void {
    this.calls.push('appendNow');
    if (this.failure !== undefined) throw this.failure;
    this.bytes = joined(this.bytes, bytes);
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.calls.push('append');
    await this.hold;
    if (this.failure !== undefined) throw this.failure;
    this.bytes = joined(this.bytes, bytes);
  }

  reserveNow(bytes: number): void {
    this.calls.push(`reserve ${bytes}`);
    if (this.failure !== undefined) throw this.failure;
  }

  trim(): Promise<void> {
    this.calls.push('trim');
    return this.failure === undefined ? Promise.resolve() : Promise.reject(this.failure);
  }

  async sync(): Promise<void> {
    this.calls.push('sync');
    const failure = this.failure;
    await this.hold;
    if (failure !== undefined) throw failure;
  }

  close(): Promise<void> {
    this.calls.push('close');
    return Promise.resolve();
  }
}

function writerOn(reserveBytes?: number): {
  file: RecordingFile;
  writer: LogWriter;
  stage: (bytes: Uint8Array) => void;
} {
  const file = new RecordingFile();
  const writer = new LogWriter(file, 7, reserveBytes);
  return { file, writer, stage: (bytes) => writer.stage(bytes, 0, bytes.length) };
}

const small = Uint8Array.of(1, 2, 3);
const large = new Uint8Array(300_000).fill(9);
const error = new IoError('append', '/log', 'EIO', 'unknown');

describe('the log writer', () => {
  it('keeps room for small writes ready, and gives back what is left of it', async () => {
    const { file, writer, stage } = writerOn(100);
    const write = (bytes: number): void => {
      const before = writer.bytesWritten;
      stage(small.subarray(0, bytes));
      void writer.flushStaged();
      writer.reserve(writer.bytesWritten - before);
    };
    const reserves = (): string[] => file.calls.filter((call) => call !== 'appendNow');
    write(3);
    expect(reserves()).toEqual(['reserve 100']); // behind 10 bytes
    for (let more = 0; more < 9; more += 1) write(3);
    expect(reserves()).toEqual(['reserve 100']);
    write(3); // up to the end of what is reserved
    expect(reserves()).toEqual(['reserve 100', 'reserve 100']);
    await writer.trim();
    await writer.trim();
    expect(reserves().slice(2)).toEqual(['trim']);
    write(3);
    await writer.close();
    await writer.close();
    expect(reserves().slice(3)).toEqual(['reserve 100', 'trim', 'close', 'close']);
  });

  it('reserves nothing for writes that are large beside it, and does without where it cannot', async () => {
    const { file, writer, stage } = writerOn(100);
    stage(new Uint8Array(26));
    void writer.flushStaged();
    writer.reserve(33);
    expect(file.calls).toEqual(['appendNow']);
    file.failure = error;
    writer.reserve(25);
    file.failure = undefined;
    writer.reserve(25);
    expect(file.calls).toEqual(['appendNow', 'reserve 100']);
    stage(small);
    expect(writer.flushStaged()).toBe(undefined);
    expect(writer.failure).toBe(undefined);
    await writer.close();
    expect(file.calls.slice(2)).toEqual(['appendNow', 'trim', 'close']); // a part of it may have been there
  });

  it('writes nothing before it is told to, then all that is staged at once', () => {
    const { file, writer, stage } = writerOn();
    expect(writer.fileNumber).toBe(7);
    expect(writer.flushStaged()).toBe(undefined);
    stage(small);
    writer.stage(joined(large, small), large.length, large.length + 2);
    expect([file.calls.length, writer.bytesWritten, writer.isDirty]).toEqual([0, 0, false]);
    expect(writer.flushStaged()).toBe(undefined);
    expect(file.calls).toEqual(['appendNow']);
    expect(file.bytes).toEqual(framed(small, small.subarray(0, 2)));
    expect([writer.bytesWritten, writer.isDirty]).toEqual([19, true]);
  });

  it('writes 256 KiB on this thread, and more in the background', async () => {
    const { file, writer, stage } = writerOn();
    stage(new Uint8Array(262_144 - 8 * 7)); // eight headers: it is in eight blocks
    expect(writer.flushStaged()).toBe(undefined);
    stage(large);
    const step = writer.flushStaged();
    expect(step).toBeInstanceOf(Promise);
    expect(writer.bytesWritten).toBe(262_144);
    await step;
    expect(file.calls).toEqual(['appendNow', 'append']);
    expect(writer.bytesWritten).toBe(file.bytes.length);
    stage(small);
    void writer.flushStaged();
    expect(file.bytes).toEqual(framed(new Uint8Array(262_144 - 8 * 7), large, small));
  });

  it('refuses to overlap a write', async () => {
    const { writer, stage } = writerOn();
    stage(large);
    const step = writer.flushStaged();
    expect(() => stage(small)).toThrow('wait for flushStaged');
    expect(() => writer.flushStaged()).toThrow('wait for flushStaged');
    await step;
    expect(() => stage(small)).not.toThrow();
  });

  it('is dirty until a sync that began after the write', async () => {
    const { file, writer, stage } = writerOn();
    await writer.sync();
    expect(file.calls).toEqual([]); // there was nothing to make durable
    stage(small);
    void writer.flushStaged();
    const early = writer.sync();
    stage(small);
    void writer.flushStaged();
    await early;
    expect(writer.isDirty).toBe(true);
    await writer.sync();
    expect(writer.isDirty).toBe(false);
  });

  it.each(['appendNow', 'append', 'sync'])('is broken for good by a failed %s', async (call) => {
    const { file, writer, stage } = writerOn();
    stage(call === 'append' ? large : small);
    if (call === 'sync') void writer.flushStaged();
    expect(writer.failure).toBe(undefined);
    file.failure = error;
    await expect((async () => (call === 'sync' ? writer.sync() : writer.flushStaged()))()).rejects.toBe(error);
    file.failure = undefined;
    const calls = file.calls.length;
    expect(writer.failure).toBe(error);
    expect(() => stage(small)).toThrow(error);
    expect(() => writer.flushStaged()).toThrow(error);
    await expect(writer.sync()).rejects.toBe(error);
    expect(file.calls.length).toBe(calls);
    await writer.close();
    expect(file.calls.at(-1)).toBe('close');
    await expect(writer.sync()).rejects.toBe(error);
  });

  it('asks for no second sync of a file whose first one failed, for that would seem to succeed', async () => {
    const { file, writer, stage } = writerOn();
    stage(small);
    void writer.flushStaged();
    file.failure = error;
    const before = file.calls.length;
    await expect(writer.sync()).rejects.toBe(error);
    expect(file.calls.slice(before)).toEqual(['sync']);
  });

  it('does not believe a sync beside which another one failed', async () => {
    const { file, writer, stage } = writerOn();
    stage(small);
    void writer.flushStaged();
    file.failure = error;
    const failing = writer.sync();
    file.failure = undefined;
    const beside = writer.sync();
    await expect(failing).rejects.toBe(error);
    await expect(beside).rejects.toBe(error);
    expect(writer.isDirty).toBe(true);
  });

  it('takes nothing after it was closed', async () => {
    const { file, writer, stage } = writerOn();
    stage(small);
    await writer.close();
    await writer.close();
    expect(() => stage(small)).toThrow(ClosedError);
    expect(() => writer.flushStaged()).toThrow(ClosedError);
    await expect(writer.sync()).rejects.toThrow(ClosedError);
    expect(file.calls.filter((call) => call !== 'close')).toEqual([]);
  });
});

// Found by T12: the room came back with the power, and the segment was longer than the state of history says.
it('makes durable that room was given back, though nothing was written since', async () => {
  const fileSystem = new MemoryFileSystem();
  const file = await fileSystem.create('/1.log');
  await fileSystem.syncDirectory('/');
  const writer = new LogWriter(file, 1, 65_536);
  writer.stage(new Uint8Array(20), 0, 20);
  await writer.flushStaged();
  writer.reserve(27);
  await writer.sync();
  const lengthAfterCut = (): number => fileSystem.crashImage('synced', () => 0).readFileNow('/1.log').length;
  expect(lengthAfterCut()).toBeGreaterThan(writer.bytesWritten);
  await writer.trim();
  await writer.sync();
  expect(lengthAfterCut()).toBe(writer.bytesWritten);
  await writer.close();
});
