/** tracker_info.txt and addresses: what is read, and that each mistake is told with file, line and what was expected. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RequestError } from '../../src/protocol/errors.ts';
import { formatAddress, parseAddress, parseTrackerInfo } from '../../src/protocol/tracker-info.ts';

const PIN = 'ab'.repeat(32);

describe('tracker_info.txt', () => {
  test('holds one tracker a line, with comments, blanks and pins', () => {
    const text = `\ufeff# ours\n127.0.0.1 9000\r\n\n  ::1\t9001  ${PIN}  # home\ntracker.example.org 65535 SHA256:${PIN.toUpperCase()}\n`;
    expect(parseTrackerInfo(text, 'tracker_info.txt')).toEqual([
      { host: '127.0.0.1', port: 9000, pin: undefined },
      { host: '::1', port: 9001, pin: PIN },
      { host: 'tracker.example.org', port: 65535, pin: PIN },
    ]);
  });

  test.each([
    ['no port', '127.0.0.1', 1],
    ['a port of 0', '127.0.0.1 0', 1],
    ['a port too high', '# a\n127.0.0.1 65536', 2],
    ['a port that is no number', '127.0.0.1 http', 1],
    ['a port with a sign', '127.0.0.1 +9000', 1],
    ['a colon for the space', '127.0.0.1:9000', 1],
    ['a pin that is too short', `\n\n127.0.0.1 9000 ${PIN.slice(1)}`, 3],
    ['a pin that is not hexadecimal', `127.0.0.1 9000 ${'z'.repeat(64)}`, 1],
    ['a fourth word', `127.0.0.1 9000 ${PIN} more`, 1],
    ['a path for a host', '127.0.0.1 9000\n../x 9000', 2],
    ['a host of nothing but a dash', '- 9000', 1],
    ['a host that is too long', `${'a'.repeat(256)} 9000`, 1],
  ])('with %s is refused, naming the line', (_, text, line) => {
    const parse = () => parseTrackerInfo(text, 'tracker_info.txt');
    expect(parse).toThrow(RequestError);
    expect(parse).toThrow(
      expect.objectContaining({
        code: 'tracker-info',
        message: expect.stringContaining(`tracker_info.txt, line ${line}: `),
        hint: expect.stringContaining('expected'),
      }),
    );
  });

  test.each(['', '\n\n', '# only a comment\n'])('that names no tracker is refused: %j', (text) => {
    expect(() => parseTrackerInfo(text, 't.txt')).toThrow(/t\.txt names no tracker/);
  });

  test('gives trackers or a RequestError for any text', () => {
    const line = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom('1', '.', ':', ' ', '#', 'a', '\t', '\r') }),
      fc.tuple(fc.ipV4(), fc.nat(70_000)).map((words) => words.join(' ')),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 5 }), (lines) => {
        try {
          for (const { port } of parseTrackerInfo(lines.join('\n'), 't.txt')) expect(port).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(RequestError);
        }
      }),
    );
  });
});

describe('an address', () => {
  const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());

  test('is read as it is written', () => {
    fc.assert(
      fc.property(host, fc.integer({ min: 1, max: 65535 }), (name, port) => {
        expect(parseAddress(formatAddress({ host: name, port }))).toEqual({ host: name, port });
      }),
    );
  });

  test('reads as documented', () => {
    expect(parseAddress('127.0.0.1:9999')).toEqual({ host: '127.0.0.1', port: 9999 });
    expect(parseAddress('[::1]:9999')).toEqual({ host: '::1', port: 9999 });
    expect(parseAddress('localhost:1')).toEqual({ host: 'localhost', port: 1 });
  });

  test.each([
    '',
    ':',
    '127.0.0.1',
    '127.0.0.1:',
    ':9999',
    '::1:9999',
    '[::1]',
    '1.2.3.4:0',
    '1.2.3.4:65536',
    '1.2.3.4:9999x',
    'a b:1',
    '[]:1',
  ])('%j is none', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });
});
