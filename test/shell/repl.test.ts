import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { COMMANDS } from '../../src/main/shell/commands.ts';
import { History } from '../../src/main/shell/history.ts';
import { runRepl } from '../../src/main/shell/repl.ts';
import { Terminal } from '../../src/main/shell/terminal.ts';
import { TerminalView } from '../../src/main/shell/terminal-view.ts';
import { silentLogger } from '../../src/main/support/logger.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import { FakeClient } from '../support/fake-client.ts';
import { ManualClock } from '../support/manual-clock.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'p2p-repl-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const historyPath = () => join(directory, 'history');

function open() {
  const client = new FakeClient();
  const clock = new ManualClock();
  const stop = new AbortController();
  const input = new PassThrough();
  const output = new PassThrough();
  let screen = '';
  const waiting = new Set<() => void>();
  output.setEncoding('utf8').on('data', (text: string) => {
    screen += text;
    for (const check of waiting) check();
  });
  const terminal = new Terminal({
    input,
    output,
    history: new History(historyPath(), COMMANDS, silentLogger),
    complete: async (line) => [[`${line}_done `], line],
  });
  const view = new TerminalView(terminal);
  const end = runRepl({ client, commands: COMMANDS, view, homeDir: '/', terminal, clock, stop: stop.signal }).finally(
    () => terminal.close(),
  );
  /** Resolves when the text stands on the screen behind what was awaited before. */
  let seen = 0;
  const shows = (text: string) =>
    new Promise<void>((resolve) => {
      const check = () => {
        const at = screen.indexOf(text, seen);
        if (at < 0) return;
        seen = at + text.length;
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      check();
    });
  return { client, clock, stop, input, end, shows, screen: () => screen };
}

describe('a session at a terminal', () => {
  test('runs commands, shows who is logged in, and goes on after a failure', async () => {
    const { client, input, end, shows } = open();
    client.refusals.set(
      'createGroup',
      new RequestError('name-taken', 'there is a group pdfs already', 'choose another'),
    );
    await shows('> ');
    input.write('login swas 123\r');
    await shows('Logged in as swas.');
    await shows('swas> ');
    input.write('create_group pdfs\r');
    await shows('there is a group pdfs already\n  hint: choose another');
    await shows('swas> ');
    input.write('quit\r');
    expect(await end).toBe(0);
  });

  test('prints notices above what is being typed, which stays', async () => {
    const { client, input, end, shows } = open();
    await shows('> ');
    input.write('list_gro');
    await shows('o');
    client.tell({ type: 'join-requested', group: 'pdfs', user: 'alice' });
    await shows('alice asks to join pdfs. Let them in: accept_request pdfs alice\n');
    await shows('> list_gro');
    input.write('ups\r');
    await shows('No groups yet.');
    input.write('quit\r');
    await end;
    expect(client.calls).toEqual(['listGroups']);
  });

  test('shows running downloads in the prompt, and their end above it', async () => {
    const { client, clock, input, end, shows } = open();
    await shows('> ');
    input.write('download_file pdfs libc.pdf .\r');
    await shows('Downloading libc.pdf');
    await shows('(libc.pdf 0 %');
    client.started[0]?.step({ doneBytes: 420, bytesPerSecond: 1024 });
    clock.advance(500);
    await shows('(libc.pdf 42 %, 1.0 KiB/s)> ');
    client.started[0]?.complete();
    await shows('Downloaded libc.pdf: 1000 B');
    input.write('download_file pdfs b .\r');
    await shows('Downloading b');
    await shows('> ');
    input.write('quit\r');
    await shows('Stopped 1 unfinished download.');
    expect(await end).toBe(0);
  });

  test('pasted lines run one after the other', async () => {
    const { client, input, end, shows } = open();
    await shows('> ');
    input.write('create_user swas 123\rlogin swas 123\rquit\r');
    expect(await end).toBe(0);
    expect(client.calls).toEqual(['createUser swas 123', 'login swas 123']);
  });

  test('Tab completes', async () => {
    const { input, shows, stop, end } = open();
    await shows('> ');
    input.write('abc\t');
    await shows('_done ');
    stop.abort();
    await end;
  });

  test('Ctrl-C clears the line, and twice on an empty one ends', async () => {
    const { client, input, end, shows } = open();
    await shows('> ');
    input.write('logout\u0003');
    input.write('\u0003');
    await shows('(Ctrl-C again or quit ends the client)');
    input.write('\u0003');
    expect(await end).toBe(0);
    expect(client.calls).toEqual([]);
  });

  test('Ctrl-D ends, and so does being told to stop', async () => {
    const first = open();
    await first.shows('> ');
    first.input.write('\u0004');
    expect(await first.end).toBe(0);
    const second = open();
    await second.shows('> ');
    second.stop.abort();
    expect(await second.end).toBe(0);
  });

  test('the history outlives the session, for the owner alone and without passwords', async () => {
    const first = open();
    await first.shows('> ');
    first.input.write('login swas 123\rlist_groups\rlist_groups\rlogn swas 123\rquit\r');
    await first.end;
    expect(readFileSync(historyPath(), 'utf8')).toBe('login swas\nlist_groups\nquit\n');
    expect(statSync(historyPath()).mode & 0o777).toBe(0o600);

    const second = open();
    await second.shows('> ');
    second.input.write('\u001b[A\u001b[A\r');
    await second.shows('No groups yet.');
    second.stop.abort();
    await second.end;
  });
});
