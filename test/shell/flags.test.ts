import { describe, expect, test } from 'vitest';
import { parseFlags, parseSize } from '../../src/main/shell/flags.ts';

function parse(...words: string[]) {
  let out = '';
  let err = '';
  const parsed = parseFlags(words, {
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
    parallelism: 4,
  });
  return { ...parsed, out, err };
}

const HERE = ['127.0.0.1:9999', './tracker_info.txt'] as const;

describe('the command line', () => {
  test('has sensible defaults', () => {
    expect(parse(...HERE)).toMatchObject({
      flags: {
        options: {
          address: { host: '127.0.0.1', port: 9999 },
          trackerInfoPath: './tracker_info.txt',
          dataDir: expect.stringMatching(/client-127\.0\.0\.1-9999$/),
          workers: 4,
          memoryBytes: 32 * 2 ** 20,
          peersMax: 50,
          acceptNewPin: false,
        },
        commands: [],
        json: false,
        stay: false,
        logLevel: 'error',
      },
    });
  });

  test('takes all flags', () => {
    const words =
      '--json --stay --data-dir d --workers 2 --memory 128M --pipeline 7 --max-peers 3 --accept-new-pin --log-level info';
    expect(parse(...HERE, '-c', 'login swas 123', '--command', 'list_groups', ...words.split(' '))).toMatchObject({
      flags: {
        options: { dataDir: 'd', workers: 2, memoryBytes: 128 * 2 ** 20, pipeline: 7, peersMax: 3, acceptNewPin: true },
        commands: ['login swas 123', 'list_groups'],
        json: true,
        stay: true,
        logLevel: 'info',
      },
    });
  });

  test('without arguments, shows usage with an example, and exits 2', () => {
    const { err, ...rest } = parse();
    expect(rest).toEqual({ exitCode: 2, out: '' });
    expect(err).toMatch(/Usage: client .*127\.0\.0\.1:9999 \.\/tracker_info\.txt/s);
  });

  test('--help is no error', () => expect(parse('--help')).toMatchObject({ exitCode: 0, err: '' }));

  test.each([
    [['localhost', 't'], 'Expected host:port'],
    [['127.0.0.1:9999'], 'tracker_info'],
    [[...HERE, 'extra'], 'too many arguments'],
    [[...HERE, '--wrokers', '2'], '--workers'],
    [[...HERE, '--workers', '0'], 'Expected a whole number from 1'],
    [[...HERE, '--memory', '1M'], 'Expected at least 8.0 MiB'],
    [[...HERE, '--memory', 'lots'], 'Expected a size'],
    [[...HERE, '--log-level', 'loud'], 'Allowed choices'],
  ])('%j is refused with a clear sentence', (words, sentence) => {
    const { err, ...rest } = parse(...words);
    expect(rest).toEqual({ exitCode: 2, out: '' });
    expect(err).toContain(sentence);
    expect(err).toContain('client --help');
  });
});

test.each([
  ['64MiB', 64 * 2 ** 20],
  ['128M', 128 * 2 ** 20],
  ['1gib', 2 ** 30],
  ['512 KiB', 2 ** 19],
  ['8388608', 8_388_608],
  ['8B', 8],
  ['', undefined],
  ['-1M', undefined],
  ['1.5G', undefined],
  ['64MB', undefined],
  ['999999999999999G', undefined],
])('the size %j', (text, bytes) => expect(parseSize(text)).toBe(bytes));
