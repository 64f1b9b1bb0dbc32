/** The tracker program as people and scripts meet it: how it starts, what it says, how it stops, what it refuses. */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Program } from '../support/program.ts';
import { WireClient } from '../support/tracker.ts';
import { TrackerHome } from '../support/tracker-process.ts';

let home: TrackerHome;
beforeEach(async () => {
  home = await TrackerHome.create();
});
afterEach(() => home.dispose());

describe('running', () => {
  test('it says where it listens, its pin, and the line that has clients check it; that line starts it again', async () => {
    const run = await home.start();
    await run.printed('"quit" stops it');
    const { host, port } = home.address;
    const pin = /^pin: ([0-9a-f]{64})$/m.exec(run.stdout)?.[1];
    expect(run.stdout).toContain(`tracker 1 listens on ${host}:${port}\n`);
    const line = `${host} ${port} ${pin}`;
    expect(run.stdout).toContain(`\n${line}\n`);
    run.type('quit');
    expect(await run.ended).toMatchObject({ exitCode: 0, stderr: '' });

    home.writeInfo(line);
    const again = await home.start();
    again.type('quit');
    expect(await again.ended).toMatchObject({ exitCode: 0, stderr: '' });
    expect(again.stdout).not.toContain('let its line');
  });

  test('it takes commands, suggests the nearest for others, and outlives the end of its input', async () => {
    const run = await home.start();
    run.type('qiut');
    await run.printed('unknown command; did you mean "quit"?');
    run.type('');
    run.type('make me a sandwich');
    await run.printed('unknown command; "help" lists what there is');
    run.type('help');
    await run.printed('stop the tracker');
    run.type('status');
    await run.printed('trackers: no link to another');
    run.type('verify_log');
    await run.printed('0 entries verified: all hold');
    run.endInput();
    const client = await WireClient.connect(home.address);
    await client.signUp('swas');
    run.kill('SIGTERM');
    expect(await run.ended).toMatchObject({ exitCode: 0, signal: null, stderr: '' });
    expect(await client.closed).toMatchObject({ code: 'tracker-unreachable' });
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('%s stops it cleanly', async (signal) => {
    const run = await home.start();
    run.kill(signal);
    expect(await run.ended).toMatchObject({ exitCode: 0, signal: null, stderr: '' });
  });
});

describe('refusing to start', () => {
  const ended = async (run: Program) => {
    const { exitCode, stderr } = await run.ended;
    return `${exitCode}: ${stderr.trimEnd()}`;
  };

  test('on a port that is taken', async () => {
    const other = createServer().listen(home.address.port, home.address.host);
    await once(other, 'listening');
    const where = `${home.address.host}:${home.address.port}`;
    expect(await ended(home.run())).toBe(
      `3: tracker: ${where} is taken by another program\n  hint: quit it, or choose another port`,
    );
    other.close();
  });

  test('on a data directory that another process uses', async () => {
    await home.start();
    expect(await ended(home.run())).toMatch(/^5: tracker: another process is using .*\n {2}hint: .*--data-dir$/);
  });

  test('with another pin than its line gives', async () => {
    home.writeInfo(`127.0.0.1 ${home.address.port} ${'a'.repeat(64)}`);
    expect(await ended(home.run())).toMatch(
      /^4: tracker: this tracker's pin is [0-9a-f]{64}, but a{64} is expected of it/,
    );
  });

  test('on a log that was damaged', async () => {
    const run = await home.start();
    const client = await WireClient.connect(home.address);
    await client.signUp('swas');
    client.close();
    run.type('quit');
    await run.ended;
    const db = new Database(join(home.dataDir, 'log.sqlite'));
    db.exec('UPDATE entries SET signature = zeroblob(64) WHERE seq = 1');
    db.close();
    expect(await ended(home.run())).toMatch(
      /^4: tracker: the log is damaged at entry 1: the signature .*\n {2}hint: restore/,
    );
  });

  test('without a usable tracker_info.txt, naming file, line and what is expected', async () => {
    home.writeInfo(`# ours\n127.0.0.1 nine`);
    expect(await ended(home.run())).toBe(
      `2: tracker: ${home.infoPath}, line 2: "nine" is not a port from 1 to 65535\n  hint: expected "<ip> <port> [<pin>]", for example "127.0.0.1 9000"`,
    );
    rmSync(home.infoPath);
    expect(await ended(home.run())).toMatch(/^2: tracker: there is no file .*tracker_info.txt\n {2}hint: /);
  });

  test('with arguments that make no sense', async () => {
    expect(await ended(new Program('tracker', [home.infoPath, '2']))).toMatch(
      /^2: tracker: .* lists 1 tracker, so there is no/,
    );
    expect(await ended(new Program('tracker', [home.infoPath, 'first']))).toMatch(/^2: error: .*give a number from 1/);
    expect(await ended(new Program('tracker', []))).toMatch(/^2: error: missing required argument/);
    expect(await ended(new Program('tracker', [home.infoPath, '1', '--log-level', 'loud']))).toMatch(
      /^2: error: .*loud/,
    );
  });
});
