/** The programs as a user meets them: scripts, mistakes, exit codes, and the sentences that go with them. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MIB } from '../../src/protocol/limits.ts';
import { type ClientHome, ClientProcess } from '../support/client-process.ts';
import { Network, sha256, writeRandomFile } from '../support/network.ts';
import { type Ended, Program } from '../support/program.ts';

let network: Network;
let home: ClientHome;
beforeEach(async () => {
  network = await Network.start();
  home = await network.client();
});
afterEach(() => network.dispose());

/** Pipes a script into the client. */
async function script(lines: readonly string[], flags: readonly string[] = []): Promise<Ended> {
  const run = home.runPlain(...flags);
  for (const line of lines) run.type(line);
  run.endInput();
  return run.ended;
}

const libc = () => {
  const path = home.file('libc.pdf');
  writeRandomFile(path, 3 * MIB);
  return path;
};
const first = () => [
  'create_user swas 123',
  'login swas 123',
  'create_group pdfs',
  `upload_file "${libc()}" pdfs`,
  'list_files pdfs',
];

describe('a script of commands', () => {
  it('works line by line and exits 0', async () => {
    const { exitCode, stdout } = await script(first());
    expect(exitCode).toBe(0);
    expect(stdout.trim().split('\n')).toEqual([
      'Created user swas.',
      'Logged in as swas.',
      'Created group pdfs. You own it.',
      'Shared libc.pdf in pdfs: 3.0 MiB in 6 pieces.',
      expect.stringMatching(/^FILE +SIZE +SHARED BY +SEEDERS ONLINE$/),
      expect.stringMatching(/^libc\.pdf +3\.0 MiB +swas +1$/),
    ]);
  });

  it('prints with --json lines that parse, one outcome a command', async () => {
    const { exitCode, stdout } = await script(first(), ['--json']);
    expect(exitCode).toBe(0);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const outcomes = lines.filter(({ type }) => type === 'outcome');
    expect(outcomes.map(({ command, ok }) => [command, ok])).toEqual([
      ['create_user', true],
      ['login', true],
      ['create_group', true],
      ['upload_file', true],
      ['list_files', true],
    ]);
    expect(outcomes[4].files).toMatchObject([{ name: 'libc.pdf', sizeBytes: 3 * MIB, seedersOnline: 1 }]);
  });

  it('stops at the first command that fails, with its exit code', async () => {
    const cases: [string[], number, RegExp][] = [
      [['frobnicate'], 2, /there is no command "frobnicate"/],
      [['list_grups'], 2, /list_groups/],
      [['login swas'], 2, /login <user_id> <passwd>/],
      [['login "swas'], 2, /quote/],
      [['list_files pdfs'], 1, /login/],
      [['login nobody wrong'], 1, /unknown user or wrong password/],
      [['create_user swas 1', 'create_user swas 2'], 1, /there is a user "swas" already/],
      [['login swas 1', 'create_group g', 'create_group g'], 1, /there is a group "g" already/],
      [['list_requests nowhere'], 1, /nowhere/],
      [['upload_file /no/such/file g'], 5, /there is no \/no\/such\/file/],
      [['upload_file /dev/null g'], 5, /no regular file/],
      [['download_file g nothing /tmp'], 1, /nothing/],
    ];
    for (const [lines, exitCode, sentence] of cases) {
      const ended = await script([...lines, 'create_group never']);
      expect([lines, ended.exitCode]).toEqual([lines, exitCode]);
      expect(ended.stderr).toMatch(sentence);
      expect(ended.stderr).not.toMatch(/\n\s+at /);
    }
    expect((await script(['list_groups'])).stdout).not.toContain('never');
  });
});

describe('what the client can not start with', () => {
  it('is said in a sentence: tracker_info.txt, addresses, a data directory in use, a port in use', async () => {
    const bad = home.file('bad.txt');
    writeFileSync(bad, '# trackers\n127.0.0.1 9000\n127.0.0.1 notaport\n');
    const start = async (...args: string[]) => {
      const run = new ClientProcess(args);
      run.endInput();
      return run.ended;
    };
    const malformed = await start(home.address, bad, '--data-dir', home.dataDir);
    expect(malformed.exitCode).toBe(2);
    expect(malformed.stderr).toMatch(/bad\.txt, line 3: "notaport" is not a port/);
    const missing = await start(home.address, home.file('missing.txt'), '--data-dir', home.dataDir);
    expect(missing.exitCode).toBe(2);
    expect(missing.stderr).toMatch(/there is no .*missing\.txt/);
    const address = await start('nonsense', bad);
    expect(address.exitCode).toBe(2);

    const holder = home.run();
    await holder.notice('tracker-connected');
    const second = await start(...home.args());
    expect(second.exitCode).toBe(5);
    expect(second.stderr).toMatch(/another process is using/);
    const other = await start(home.address, network.trackerHome.infoPath, '--data-dir', home.file('other'));
    expect(other.exitCode).toBe(3);
    expect(other.stderr).toMatch(/is taken by another program/);
    expect((await holder.quit()).exitCode).toBe(0);
  });

  it('no tracker: it says so, and exits 3', async () => {
    network.tracker.kill('SIGKILL');
    await network.tracker.ended;
    const { exitCode, stderr } = await script(['list_groups']);
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/no tracker answers: 127\.0\.0\.1:\d+ \(connection refused\)/);
  });

  it('a tracker with another key than before: refused with 4, accepted when told to', async () => {
    expect((await script(['create_user swas 1'])).exitCode).toBe(0);
    network.tracker.kill('SIGTERM');
    await network.tracker.ended;
    rmSync(network.trackerHome.dataDir, { recursive: true });
    network.tracker = await network.trackerHome.start();
    const refused = await script(['list_groups']);
    expect(refused.exitCode).toBe(4);
    expect(refused.stderr).toMatch(/--accept-new-pin/);
    expect((await script(['create_user swas 1'], ['--accept-new-pin'])).exitCode).toBe(0);
    expect((await script(['login swas 1'])).exitCode).toBe(0);
  });
});

describe('the tracker program', () => {
  const start = async (...args: string[]) => {
    const run = new Program('tracker', args);
    run.endInput();
    return run.ended;
  };

  it('says what it can not start with', async () => {
    const info = network.trackerHome.infoPath;
    expect(await start()).toMatchObject({ exitCode: 2 });
    expect(await start(info, '7')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('7') });
    expect(await start(info, '1', '--data-dir', home.file('t2'))).toMatchObject({
      exitCode: 3,
      stderr: expect.stringContaining('is taken by another program'),
    });
    expect(await start(info, '1', '--data-dir', network.trackerHome.dataDir)).toMatchObject({
      exitCode: 5,
      stderr: expect.stringContaining('another process is using'),
    });
  });

  it('quits at its terminal and on SIGTERM, each with exit code 0', async () => {
    network.tracker.type('quit');
    expect((await network.tracker.ended).exitCode).toBe(0);
    network.tracker = await network.trackerHome.start();
    network.tracker.kill('SIGTERM');
    expect((await network.tracker.ended).exitCode).toBe(0);
  });
});

describe('files on disk', () => {
  it('of keys are readable by their owner alone', async () => {
    await script(['whoami']);
    expect(statSync(join(home.dataDir, 'identity.pem')).mode & 0o777).toBe(0o600);
    expect(statSync(home.dataDir).mode & 0o777).toBe(0o700);
    expect(statSync(join(network.trackerHome.dataDir, 'identity.pem')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(home.dataDir, 'identity.pem'), 'utf8')).toContain('PRIVATE KEY');
  });

  it('a full disk ends a download with 5 and a sentence; the same command takes it up when there is room', async () => {
    const [alice, bob] = await network.members(['alice', 'bob']);
    if (!alice || !bob) throw new Error('two members');
    const disk = mkdtempSync(join(tmpdir(), 'p2pfs-small-disk-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', disk], { stdio: 'ignore' });
    } catch {
      rmSync(disk, { recursive: true });
      if (process.env['CI']) throw new Error('CI must be able to mount a small disk');
      console.warn('SKIPPED: a full disk needs the right to mount a tmpfs (run as root)');
      return;
    }
    try {
      const file = alice.home.file('a.bin');
      writeRandomFile(file, 5 * MIB);
      await alice.run.done('upload_file', file, 'pdfs');
      await alice.run.quit();
      // Without a seeder it begins and waits: its sparse `.part` takes no room yet, and then the room goes.
      const destination = join(disk, 'a.bin');
      expect(await bob.run.done('download_file', 'pdfs', 'a.bin', destination)).toMatchObject({ state: 'waiting' });
      const filler = join(disk, 'filler');
      writeRandomFile(filler, 3 * MIB);
      alice.run = alice.home.run();
      const failed = await bob.run.notice('download-ended');
      expect(failed).toMatchObject({ ok: false, code: 'disk-full', state: 'failed' });
      expect(existsSync(`${destination}.part`)).toBe(true);
      rmSync(filler);
      await bob.run.done('download_file', 'pdfs', 'a.bin', destination);
      await bob.run.line((line) => line['notice'] === 'download-ended' && line['ok'] === true);
      expect(await sha256(destination)).toBe(await sha256(file));
      const big = alice.home.file('big.bin');
      writeRandomFile(big, 7 * MIB);
      await alice.run.done('upload_file', big, 'pdfs');
      expect(await bob.run.command('download_file', 'pdfs', 'big.bin', disk)).toMatchObject({
        ok: false,
        code: 'disk-full',
        exitCode: 5,
      });
    } finally {
      execFileSync('umount', ['-l', disk]);
      rmSync(disk, { recursive: true, force: true });
    }
  });
});
