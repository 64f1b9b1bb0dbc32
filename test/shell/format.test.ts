import { describe, expect, test } from 'vitest';
import { barLine } from '../../src/main/shell/bars.ts';
import { downloadEndText } from '../../src/main/shell/download-text.ts';
import {
  displayWidth,
  formatDuration,
  formatSeconds,
  formatSize,
  percentOf,
  table,
} from '../../src/main/shell/format.ts';
import { noticeText } from '../../src/main/shell/notice-text.ts';
import { promptText } from '../../src/main/shell/terminal-view.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import { downloadStatus } from '../support/fake-client.ts';

const GIB = 2 ** 30;

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [102_348, '99.9 KiB'],
  [102_400, '100 KiB'],
  [2 ** 20 - 1, '1.0 MiB'],
  [2 * GIB, '2.0 GiB'],
  [660 * 2 ** 20, '660 MiB'],
  [3 * 1024 * GIB, '3.0 TiB'],
])('%d bytes are %s', (bytes, text) => expect(formatSize(bytes)).toBe(text));

test.each([
  [40, '40 ms'],
  [3100, '3.1 s'],
  [59_960, '1 min 0 s'],
  [125_000, '2 min 5 s'],
  [3_780_000, '1 h 3 min'],
  [187_200_000, '2 d 4 h'],
])('%d ms are %s', (ms, text) => expect(formatDuration(ms)).toBe(text));

test('an estimate is rounded up to whole seconds', () => expect(formatSeconds(2.1)).toBe('3 s'));

test('100 % means that nothing is missing', () => {
  expect(percentOf(999_999, 1_000_000)).toBe(99);
  expect(percentOf(0, 0)).toBe(100);
});

test('columns align by what the terminal shows, not by code units', () => {
  expect(displayWidth('文件')).toBe(4);
  expect(
    table([
      ['文件', 'x'],
      ['abcde', 'y'],
    ]),
  ).toBe('文件   x\nabcde  y');
});

describe('sentences', () => {
  const peer = (userName: string, bytes: number) =>
    ({ device: userName, userName, bytes, badPieces: 0, state: 'gone' }) as const;

  test('the end of a download says how much, how fast and from whom', () => {
    const status = downloadStatus({
      state: 'done',
      sizeBytes: 2 * GIB,
      doneBytes: 2 * GIB,
      elapsedMs: 3100,
      peers: [peer('bob', 480), peer('alice', 300), peer('alice', 220), peer('eve', 0)],
    });
    expect(downloadEndText(status)).toBe('Downloaded libc.pdf: 2.0 GiB in 3.1 s (661 MiB/s) from alice 52 %, bob 48 %');
  });

  test('a failure says why and what to do', () => {
    const error = new RequestError('disk-full', 'the disk is full', 'make room');
    expect(downloadEndText(downloadStatus({ state: 'failed', error }))).toBe(
      'Download of libc.pdf failed: the disk is full\n  hint: make room',
    );
  });

  test('a request to join names the command that answers it, ready to be typed', () => {
    expect(noticeText({ type: 'join-requested', group: 'my pdfs', user: 'alice' })).toBe(
      "alice asks to join my pdfs. Let them in: accept_request 'my pdfs' alice",
    );
  });

  test('the prompt shows who is logged in and what is under way', () => {
    const half = downloadStatus({ doneBytes: 500, bytesPerSecond: 2 ** 20 });
    expect(promptText(undefined, [])).toBe('> ');
    expect(promptText('swas', [half])).toBe('swas (libc.pdf 50 %, 1.0 MiB/s)> ');
    expect(promptText('swas', [half, half])).toBe('swas (2 downloads 50 %, 2.0 MiB/s)> ');
    expect(promptText('swas', [downloadStatus({ state: 'waiting' })])).toBe('swas (libc.pdf 0 %, waiting for peers)> ');
  });

  test('a bar keeps its width whatever the name', () => {
    const line = (label: string) => barLine({ label, done: 1, total: 2, note: '' });
    expect(line('a\u001bb')).toBe(`a\ufffdb${' '.repeat(25)} ${'█'.repeat(12)}${'░'.repeat(12)}  50 %`);
    expect(displayWidth(line('x'.repeat(100)))).toBe(displayWidth(line('x')));
  });
});
