/** The lock against other processes, real LevelDB among them, and against sudden death. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Server } from 'node:net';
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import ts from 'typescript';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { LockedError } from '../../../src/errors.ts';
import { NodeFileSystem } from '../../../src/storage/file-system/node-file-system.ts';
import { takeGeneration } from '../../../src/storage/file-system/node-lock-generations.ts';
import { parseHolder, readLiveNote } from '../../../src/storage/file-system/node-lock-note.ts';

const fileSystem = new NodeFileSystem();
const SINCE = new Date(1_700_000_000_123);
const US = { pid: process.pid, since: SINCE };

/** Our code as JavaScript, since Node 20 runs no TypeScript. */
let compiled = '';
/** The same where no package is installed, so that only the lock in pure Node is left. */
let withoutPackages = '';
let directory = '';
const children: ChildProcess[] = [];

/** Takes a lock, says how that went, and stays until it is killed or told to end. */
const HOLDER = `
import { NodeFileSystem } from './src/storage/file-system/node-file-system.js';
import { takeGeneration } from './src/storage/file-system/node-lock-generations.js';
const [kind, directory] = process.argv.slice(2);
const holder = { pid: process.pid, since: new Date(${SINCE.getTime()}) };
let release = async () => {};
try {
  if (kind === 'leveldb') {
    const { ClassicLevel } = await import('classic-level');
    const db = new ClassicLevel(directory);
    await db.open();
    release = () => db.close();
  } else if (kind === 'generation') {
    const taken = await takeGeneration(directory, holder.since, false);
    if (taken.kind === 'held') throw Object.assign(new Error('held'), { code: 'LOCKED', holder: taken.holder });
    release = taken.release;
  } else {
    const lock = await new NodeFileSystem().lock(directory, holder);
    release = () => lock.release();
  }
  console.log(JSON.stringify({ isHeld: true }));
  process.stdin.once('data', () => release().then(() => process.exit(0)));
} catch (error) {
  console.log(JSON.stringify({ isHeld: false, code: error.cause?.code ?? error.code, holder: error.holder }));
  process.exit(0);
}
`;

const THREAD = `
import { workerData, parentPort } from 'node:worker_threads';
import { NodeFileSystem } from './src/storage/file-system/node-file-system.js';
new NodeFileSystem().lock(workerData, { pid: 1, since: undefined }).then(
  () => parentPort.postMessage('given'),
  (error) => parentPort.postMessage(error.code));
`;

beforeAll(() => {
  compiled = compile();
  symlinkSync(resolve('node_modules'), join(compiled, 'node_modules'), 'dir');
  withoutPackages = compile();
});
afterAll(() => {
  for (const made of [compiled, withoutPackages]) rmSync(made, { recursive: true, force: true });
});

function compile(): string {
  const into = mkdtempSync(join(tmpdir(), 'alluvium-compiled-'));
  writeFileSync(join(into, 'package.json'), '{"type":"module"}');
  writeFileSync(join(into, 'holder.mjs'), HOLDER);
  writeFileSync(join(into, 'worker.mjs'), THREAD);
  const folder = 'src/storage/file-system';
  mkdirSync(join(into, folder), { recursive: true });
  const files = readdirSync(folder).filter((name) => name.startsWith('node-'));
  for (const file of ['src/errors.ts', ...files.map((name) => `${folder}/${name}`)]) {
    const { outputText } = ts.transpileModule(readFileSync(file, 'utf8'), {
      compilerOptions: {
        module: ts.ModuleKind.ESNext,
        target: ts.ScriptTarget.ES2022,
        verbatimModuleSyntax: true,
        rewriteRelativeImportExtensions: true,
      },
    });
    writeFileSync(join(into, file.replace(/\.ts$/, '.js')), outputText);
  }
  return into;
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'alluvium-lock-'));
});
afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => kill(child)));
  rmSync(directory, { recursive: true, force: true });
});

interface Answer {
  readonly isHeld: boolean;
  readonly code?: string;
  readonly holder?: { readonly pid?: number; readonly since?: string };
}

async function hold(
  kind: 'ours' | 'leveldb' | 'generation',
  code = compiled,
): Promise<{ child: ChildProcess; answer: Answer }> {
  const child = spawn(process.execPath, [join(code, 'holder.mjs'), kind, directory], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    return { child, answer: JSON.parse(line) as Answer };
  }
  throw new Error('the child said nothing');
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((done) => child.once('exit', () => done()));
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await ended(child);
}

async function release(child: ChildProcess): Promise<void> {
  child.stdin?.write('end\n');
  await ended(child);
}

async function refusal(): Promise<LockedError> {
  const thrown: unknown = await fileSystem.lock(directory, US).then(
    () => 'the lock was given',
    (error: unknown) => error,
  );
  if (thrown instanceof LockedError) return thrown;
  throw new Error(`refused with ${String(thrown)}`, { cause: thrown });
}

async function lockAndRelease(): Promise<void> {
  const lock = await fileSystem.lock(directory, US);
  await lock.release();
}

describe.runIf(process.platform === 'linux')('against other processes', () => {
  test('another process is refused and told who holds the lock; after release it is free', async () => {
    const lock = await fileSystem.lock(directory, US);
    const { answer } = await hold('ours');
    expect(answer).toEqual({
      isHeld: false,
      code: 'LOCKED',
      holder: { pid: process.pid, since: SINCE.toISOString() },
    });
    await lock.release();
    expect(readdirSync(directory)).toEqual(['LOCK']);
    expect((await hold('ours')).answer).toEqual({ isHeld: true });
  });

  test('we are refused while another process holds it, and free at once after kill -9', async () => {
    const { child, answer } = await hold('ours');
    expect(answer.isHeld).toBe(true);
    expect((await refusal()).holder).toEqual({ pid: child.pid, since: SINCE });
    await kill(child);
    await lockAndRelease();
  });

  test('a stopped holder keeps the lock', async () => {
    const { child } = await hold('ours');
    child.kill('SIGSTOP');
    expect((await refusal()).holder.pid).toBe(child.pid);
  });

  test('without its note, or with a note of a dead process, the holder is unknown', async () => {
    const { child } = await hold('ours');
    const dead = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
    await ended(dead);
    const notes = ['', '{', 'null', '[]', '{"pid":"1"}', `{"pid":${dead.pid ?? 0}}`, `{"pid":1${' '.repeat(2000)}}`];
    for (const note of notes) {
      writeFileSync(join(directory, 'alluvium.lock'), note);
      expect((await refusal()).holder).toEqual({ pid: undefined, since: undefined });
    }
    await kill(child);
  });

  test('a note left by a killed holder is replaced', async () => {
    const { child } = await hold('ours');
    await kill(child);
    expect(readdirSync(directory)).toContain('alluvium.lock');
    const lock = await fileSystem.lock(directory, US);
    expect(await readLiveNote(join(directory, 'alluvium.lock'))).toEqual(US);
    await lock.release();
    expect(readdirSync(directory)).toEqual(['LOCK']);
  });

  test('another thread of this process is refused', async () => {
    const lock = await fileSystem.lock(directory, US);
    const worker = new Worker(join(compiled, 'worker.mjs'), { workerData: directory });
    expect(await new Promise((answer) => worker.once('message', answer))).toBe('LOCKED');
    await worker.terminate();
    await lock.release();
  });

  test('the lock in pure Node is enough among processes of this engine', async () => {
    const { child, answer } = await hold('ours', withoutPackages);
    expect(answer.isHeld).toBe(true);
    expect(readdirSync(directory)).toEqual(['alluvium.lock']); // it made no LOCK, so it has no native lock
    expect((await refusal()).holder.pid).toBe(child.pid);
    expect((await hold('ours', withoutPackages)).answer).toMatchObject({ isHeld: false, holder: { pid: child.pid } });
    await kill(child);
    await lockAndRelease();
  });

  test('a held lock does not keep the process alive', async () => {
    const url = join(compiled, 'src/storage/file-system/node-file-system.js');
    const source = `const { NodeFileSystem } = await import(${JSON.stringify(url)});
      await new NodeFileSystem().lock(${JSON.stringify(directory)}, { pid: process.pid, since: undefined });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: 'inherit' });
    children.push(child);
    await ended(child);
    expect(child.exitCode).toBe(0);
    await lockAndRelease();
  });
});

describe.runIf(process.platform === 'linux')('against real LevelDB', () => {
  test('it is refused while we hold the lock', async () => {
    const lock = await fileSystem.lock(directory, US);
    expect((await hold('leveldb')).answer).toEqual({ isHeld: false, code: 'LEVEL_LOCKED' });
    await lock.release();
    expect((await hold('leveldb')).answer.isHeld).toBe(true);
  });

  test('we are refused while it holds the directory, and hold nothing of the lock afterwards', async () => {
    const { child, answer } = await hold('leveldb');
    expect(answer.isHeld).toBe(true);
    writeFileSync(join(directory, 'alluvium.lock'), JSON.stringify({ pid: process.pid })); // an old one of ours
    expect((await refusal()).holder).toEqual({ pid: undefined, since: undefined });
    expect((await refusal()).holder).toEqual({ pid: undefined, since: undefined }); // no part kept by the first
    await release(child);
    await lockAndRelease();
  });

  test('whoever of the two is killed, the other can open at once', async () => {
    await kill((await hold('leveldb')).child);
    await lockAndRelease();
    await kill((await hold('ours')).child);
    expect((await hold('leveldb')).answer.isHeld).toBe(true);
  });
});

test('another store in this process needs no note to be told who holds the lock', async () => {
  const lock = await fileSystem.lock(directory, US);
  rmSync(join(directory, 'alluvium.lock'));
  expect((await refusal()).holder).toEqual(US);
  await lock.release();
});

test.runIf(process.platform === 'linux')(
  'a socket that cannot be made is an error; nobody goes on unlocked',
  async () => {
    const listen = vi.spyOn(Server.prototype, 'listen').mockImplementationOnce(function (this: Server) {
      setImmediate(() => this.emit('error', Object.assign(new Error('no sockets here'), { code: 'EPERM' })));
      return this;
    });
    await expect(fileSystem.lock(directory, US)).rejects.toMatchObject({
      code: 'IO',
      operation: 'lock',
      systemCode: 'EPERM',
      outcome: 'failed',
    });
    expect(listen).toHaveBeenCalledTimes(1);
    listen.mockRestore();
    await lockAndRelease();
  },
);

describe('generation files, for platforms without a better lock', () => {
  const names = (): string[] => readdirSync(directory).sort();

  test('one of several takers at once gets the lock, and the next one after it is given back', async () => {
    const takers = await Promise.all(Array.from({ length: 3 }, () => hold('generation')));
    const winners = takers.filter(({ answer }) => answer.isHeld);
    expect(winners).toHaveLength(1);
    for (const { child } of winners) {
      expect(await takeGeneration(directory, SINCE, false)).toEqual({
        kind: 'held',
        holder: { pid: child.pid, since: SINCE },
      });
      await release(child);
    }
    expect((await takeGeneration(directory, SINCE, false)).kind).toBe('taken');
  });

  test('a holder in another process is respected while it lives, and replaced when it is dead', async () => {
    const { child } = await hold('generation');
    expect(await takeGeneration(directory, SINCE, false)).toEqual({
      kind: 'held',
      holder: { pid: child.pid, since: SINCE },
    });
    await kill(child);
    expect((await takeGeneration(directory, SINCE, false)).kind).toBe('taken');
    expect(names()).toEqual(['LOCK.1', 'LOCK.2']);
  });

  test('where death cannot be proved it refuses: another host, or a file that makes no sense', async () => {
    const dead = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
    await ended(dead);
    const foreign = { pid: dead.pid, host: 'somewhere.else', isNative: true };
    for (const content of [JSON.stringify(foreign), '', '{}', '{"pid":0}', 'garbage']) {
      writeFileSync(join(directory, 'LOCK.7'), content);
      expect((await takeGeneration(directory, SINCE, false)).kind).toBe('held');
    }
    writeFileSync(join(directory, 'LOCK.7'), JSON.stringify(foreign));
    expect((await takeGeneration(directory, SINCE, true)).kind).toBe('taken'); // the kernel's lock is the proof
  });

  test('the highest file always stays, and old ones are cleared away', async () => {
    for (let round = 0; round < 30; round += 1) {
      const outcome = await takeGeneration(directory, SINCE, false);
      if (outcome.kind === 'taken') await outcome.release();
    }
    expect(names()).toContain('LOCK.60');
    expect(names()).not.toContain('LOCK.1');
    expect(names().every((name) => /^LOCK\.\d+$/.test(name))).toBe(true);
    expect(names().length).toBeLessThan(40);
  });
});

describe('on a platform without named sockets', () => {
  const platform = process.platform;
  beforeEach(() => {
    Object.defineProperty(process, 'platform', { value: 'darwin' });
  });
  afterEach(() => {
    Object.defineProperty(process, 'platform', { value: platform });
  });

  test('the lock is a file that tells who holds it, and another process that has one is respected', async () => {
    const lock = await fileSystem.lock(directory, US);
    expect(parseHolder(readFileSync(join(directory, 'LOCK.1'), 'utf8'))).toEqual(US);
    await lock.release();
    expect(JSON.parse(readFileSync(join(directory, 'LOCK.2'), 'utf8'))).toEqual({ isFree: true });
    const { child } = await hold('generation');
    expect((await refusal()).holder).toEqual({ pid: child.pid, since: SINCE });
    await release(child);
    await lockAndRelease();
  });

  test('a lock that cannot be given back is told, and all else of it is free', async () => {
    const lock = await fileSystem.lock(directory, US);
    rmSync(directory, { recursive: true });
    await expect(lock.release()).rejects.toMatchObject({ code: 'IO', systemCode: 'ENOENT' });
    mkdirSync(directory);
    await lockAndRelease();
  });
});

test('a lock is taken also where no note can be left', async () => {
  mkdirSync(join(directory, 'alluvium.lock'));
  writeFileSync(join(directory, 'LOCK.txt'), 'no generation');
  const lock = await fileSystem.lock(directory, US);
  expect((await refusal()).holder).toEqual(US);
  await lock.release();
  expect((await takeGeneration(directory, SINCE, false)).kind).toBe('taken');
  expect(readdirSync(directory)).toContain('alluvium.lock');
});

test('a note is a process number and perhaps a date, or nothing', () => {
  expect(parseHolder('{"pid":7,"since":"2024-01-02T03:04:05.000Z"}')).toEqual({
    pid: 7,
    since: new Date('2024-01-02T03:04:05.000Z'),
  });
  expect(parseHolder('{"pid":7,"since":"yesterday"}')).toEqual({ pid: 7, since: undefined });
  for (const text of ['', 'x', '7', '{"pid":-1}', '{"pid":1.5}', '{"pid":1e300}', '{"since":"2024-01-02"}']) {
    expect(parseHolder(text)).toBeUndefined();
  }
});
