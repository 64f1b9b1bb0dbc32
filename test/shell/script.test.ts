import { describe, expect, test } from 'vitest';
import { COMMANDS } from '../../src/main/shell/commands.ts';
import { JsonView } from '../../src/main/shell/json-view.ts';
import { linesOf } from '../../src/main/shell/lines.ts';
import { runScript } from '../../src/main/shell/script.ts';
import { ScriptView } from '../../src/main/shell/script-view.ts';
import type { View } from '../../src/main/shell/view.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import { FakeClient } from '../support/fake-client.ts';
import { ManualClock } from '../support/manual-clock.ts';

function setUp() {
  const client = new FakeClient();
  const clock = new ManualClock();
  const stop = new AbortController();
  let out = '';
  let err = '';
  const stdout = { write: (text: string) => (out += text) };
  const stderr = { write: (text: string) => (err += text) };
  const run = (view: View, lines: readonly string[], stay = false) =>
    runScript({ client, commands: COMMANDS, view, homeDir: '/home/swas', lines, stay, stop: stop.signal, clock });
  return {
    client,
    clock,
    stop,
    text: (lines: readonly string[], stay?: boolean) =>
      run(new ScriptView({ stdout, stderr, bars: undefined }, clock), lines, stay),
    json: (lines: readonly string[], stay?: boolean) => run(new JsonView(stdout, clock), lines, stay),
    out: () => out,
    err: () => err,
    records: (): Record<string, unknown>[] =>
      out
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
  };
}

const DOWNLOAD = 'download_file pdfs libc.pdf .';
const taken = new RequestError('name-taken', 'there is a group pdfs already', 'choose another name');

describe('a script in text', () => {
  test('prints outcomes line by line and exits 0', async () => {
    const shell = setUp();
    const lines = [
      '# share',
      'create_user swas 123',
      '',
      'login swas 123',
      'create_group pdfs',
      'upload_file a/libc.pdf pdfs',
    ];
    expect(await shell.text(lines)).toBe(0);
    expect(shell.out().split('\n')).toEqual([
      'Created user swas.',
      'Logged in as swas.',
      'Created group pdfs. You own it.',
      'Shared libc.pdf in pdfs: 2.0 MiB in 4 pieces.',
      '',
    ]);
    expect(shell.err()).toBe('');
  });

  test('stops at the first command that fails, which is told on standard error', async () => {
    const shell = setUp();
    shell.client.refusals.set('createGroup', taken);
    expect(await shell.text(['login swas 123', 'create_group pdfs', 'list_groups'])).toBe(1);
    expect(shell.client.calls).toEqual(['login swas 123', 'createGroup pdfs']);
    expect(shell.err()).toBe('create_group: there is a group pdfs already\n  hint: choose another name\n');
  });

  test.each([
    ['lits_files pdfs', 2],
    ['login swas', 2],
    ['login "swas', 2],
  ])('%s exits with %d', async (line, exitCode) => {
    expect(await setUp().text([line])).toBe(exitCode);
  });

  test.each([
    [new RequestError('wrong-password', ''), 1],
    [new RequestError('tracker-unreachable', ''), 3],
    [new RequestError('pin-mismatch', ''), 4],
    [new RequestError('disk-full', ''), 5],
    [Object.assign(new Error('no space'), { code: 'ENOSPC' }), 5],
  ])('a refusal of kind %#', async (error, exitCode) => {
    const shell = setUp();
    shell.client.refusals.set('logout', error);
    expect(await shell.text(['logout'])).toBe(exitCode);
  });

  test('a bug of ours is no refusal: it passes through', async () => {
    const shell = setUp();
    shell.client.refusals.set('logout', new Error('invariant violated: x'));
    await expect(shell.text(['logout'])).rejects.toThrow('invariant violated: x');
  });

  test('quit ends the script, and what follows is not run', async () => {
    const shell = setUp();
    expect(await shell.text(['quit', 'list_groups'])).toBe(0);
    expect(shell.client.calls).toEqual([]);
  });

  test('at its end it waits for the downloads, with a line now and then', async () => {
    const shell = setUp();
    const end = shell.text([DOWNLOAD, 'quit']);
    let hasEnded = false;
    end.then(() => {
      hasEnded = true;
    });
    await Promise.resolve();
    const started = await until(() => shell.client.started[0]);
    await until(() => shell.out().includes('Downloading') || undefined);
    for (const doneBytes of [100, 200, 300, 400]) {
      started.step({ doneBytes, bytesPerSecond: 100 });
      shell.clock.advance(1000);
    }
    expect(shell.err()).toBe('[D] [pdfs] libc.pdf  30 %  100 B/s  0 peers\n');
    expect(hasEnded).toBe(false);
    started.complete();
    expect(await end).toBe(0);
    expect(shell.out()).toBe('Downloading libc.pdf (1000 B) to .\nDownloaded libc.pdf: 1000 B in 0 ms\n');
    expect(shell.clock.timerCount).toBe(0);
  });

  test('a failed download does not stop the script, but gives the exit code', async () => {
    const shell = setUp();
    shell.client.onDownload = (download) => download.fail(new RequestError('wrong-content', 'digests differ'));
    expect(await shell.text([DOWNLOAD, 'list_groups'])).toBe(4);
    expect(shell.client.calls).toContain('listGroups');
    expect(shell.err()).toBe('Download of libc.pdf failed: digests differ\n');
  });

  test('an end that the client also notices is told once', async () => {
    const shell = setUp();
    shell.client.onDownload = (download) => {
      download.complete();
      shell.client.tell({ type: 'download-ended', status: download.status() });
    };
    expect(await shell.text([DOWNLOAD])).toBe(0);
    expect(shell.out().match(/Downloaded/g)).toHaveLength(1);
  });

  test('a paused download is not waited for', async () => {
    const shell = setUp();
    shell.client.onDownload = (download) => download.step({ state: 'paused' });
    expect(await shell.text([DOWNLOAD])).toBe(0);
  });

  test('--stay serves on until it is told to stop, and then exits 0', async () => {
    const shell = setUp();
    const end = shell.text(['list_groups'], true);
    await until(() => shell.client.calls[0]);
    shell.client.tell({ type: 'join-requested', group: 'pdfs', user: 'alice' });
    await Promise.race([end.then(() => expect.unreachable()), turns(20)]);
    shell.stop.abort();
    expect(await end).toBe(0);
    expect(shell.err()).toContain('accept_request pdfs alice');
  });

  test('--stay does not stay after a failure', async () => {
    expect(await setUp().text(['nonsense'], true)).toBe(2);
  });

  test('told to stop before all is done, it says so and exits 1', async () => {
    const shell = setUp();
    const end = shell.text([DOWNLOAD]);
    await until(() => shell.client.started[0]);
    shell.stop.abort();
    expect(await end).toBe(1);
    expect(shell.err()).toContain('stopped before all was done');
  });

  test('only news of the tracker is told', async () => {
    const shell = setUp();
    const connected = { type: 'tracker-connected', address: '127.0.0.1:9000', pin: 'ab', firstContact: false } as const;
    const end = shell.text([], true);
    shell.client.tell(connected);
    expect(shell.err()).toBe('');
    shell.client.tell({ type: 'tracker-lost', address: connected.address, reason: 'connection refused' });
    shell.client.tell(connected);
    expect(shell.err()).toBe(
      'No tracker at 127.0.0.1:9000: connection refused.\n  Trying again until it is back.\nConnected to the tracker at 127.0.0.1:9000.\n',
    );
    shell.stop.abort();
    await end;
  });
});

describe('a script in JSON', () => {
  test('one outcome for each command, and nothing else on standard output', async () => {
    const shell = setUp();
    shell.client.refusals.set('createGroup', taken);
    expect(await shell.json(['create_user swas 123', 'create_group pdfs', 'quit'])).toBe(1);
    expect(shell.records()).toEqual([
      { type: 'outcome', command: 'create_user', ok: true, user: 'swas', trackers: 1 },
      {
        type: 'outcome',
        command: 'create_group',
        ok: false,
        code: 'name-taken',
        message: 'there is a group pdfs already',
        hint: 'choose another name',
        exitCode: 1,
      },
    ]);
    expect(shell.err()).toBe('');
  });

  test('progress of uploads: the first step, ten a second, and the last', async () => {
    const shell = setUp();
    shell.client.shareSteps.push(...[0, 10, 20, 100].map((doneBytes) => ({ path: 'a', doneBytes, sizeBytes: 100 })));
    await shell.json(['upload_file a pdfs']);
    expect(shell.records().slice(0, -1)).toEqual(
      [0, 100].map((doneBytes) => ({
        type: 'progress',
        command: 'upload_file',
        group: 'pdfs',
        path: 'a',
        doneBytes,
        sizeBytes: 100,
      })),
    );
  });

  test('progress and end of a download', async () => {
    const shell = setUp();
    const end = shell.json([DOWNLOAD]);
    await until(() => shell.out() || undefined);
    await turns(5);
    shell.client.started[0]?.step({ doneBytes: 500 });
    shell.client.started[0]?.complete();
    expect(await end).toBe(0);
    expect(shell.records()).toMatchObject([
      {
        type: 'outcome',
        command: 'download_file',
        ok: true,
        id: 1,
        name: 'libc.pdf',
        state: 'running',
        sizeBytes: 1000,
      },
      { type: 'progress', command: 'download_file', id: 1, doneBytes: 500 },
      { type: 'notice', notice: 'download-ended', ok: true, id: 1, doneBytes: 1000 },
    ]);
  });

  test('notices carry their fields', async () => {
    const shell = setUp();
    const end = shell.json([], true);
    shell.client.tell({ type: 'join-requested', group: 'pdfs', user: 'alice' });
    shell.stop.abort();
    await end;
    expect(shell.records()[0]).toEqual({ type: 'notice', notice: 'join-requested', group: 'pdfs', user: 'alice' });
  });
});

describe('lines of a pipe', () => {
  const collect = async (...chunks: (string | Uint8Array)[]) => {
    const lines: string[] = [];
    for await (const line of linesOf(streamOf(chunks))) lines.push(line);
    return lines;
  };
  async function* streamOf<T>(chunks: readonly T[]) {
    yield* chunks;
  }

  test('end with LF, CRLF or the input, wherever the chunks are cut', async () => {
    const bytes = Buffer.from('\ufefflogin é 1\r\n\nlist_groups');
    const single = [...bytes].map((byte) => Uint8Array.of(byte));
    expect(await collect(...single)).toEqual(['login é 1', '', 'list_groups']);
  });

  test('of any length are not kept', async () => {
    await expect(collect('x'.repeat(70_000))).rejects.toThrow('a line is longer than');
  });
});

/** Lets the event loop turn until a value is there. */
async function until<T>(value: () => T | undefined): Promise<T> {
  for (;;) {
    const found = value();
    if (found !== undefined) return found;
    await turns(1);
  }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
