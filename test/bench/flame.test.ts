/** From samples, as perf and V8 give them, to trees of threads. */
import { describe, expect, test } from 'vitest';
import { cpuProfile, fold, threadTimes } from '../../bench/support/flame-tree.ts';
import { nativeFrame, scriptFrame } from '../../bench/support/frame-names.ts';
import { perfSamples } from '../../bench/support/perf-script.ts';
import { v8Samples } from '../../bench/support/v8-log.ts';

const SAMPLES = [
  { thread: 'main thread', stack: ['run', 'read', 'memcpy'], micros: 1000 },
  { thread: 'main thread', stack: ['run', 'decrypt'], micros: 2000 },
  { thread: 'main thread', stack: ['run', 'write', 'memcpy'], micros: 1500 },
  { thread: 'piece worker 1', stack: ['run', 'digest'], micros: 9000 },
];

describe('a tree of samples', () => {
  test('tells threads apart, the busiest first, and adds a function up over its callers', () => {
    expect(threadTimes(fold(SAMPLES), 2)).toEqual([
      { thread: 'piece worker 1', micros: 9000, hottest: [{ name: 'digest', micros: 9000 }] },
      {
        thread: 'main thread',
        micros: 4500,
        hottest: [
          { name: 'memcpy', micros: 2500 },
          { name: 'decrypt', micros: 2000 },
        ],
      },
    ]);
  });

  test('is a CPU profile whose root is 1, whose children exist, and whose hits are all the time there was', () => {
    const { nodes, samples, timeDeltas, endTime } = cpuProfile(fold(SAMPLES));
    expect(nodes.map(({ id }) => id)).toEqual(nodes.map((_, index) => index + 1));
    expect(nodes[0]?.children.map((id) => nodes[id - 1]?.callFrame.functionName)).toEqual([
      'main thread',
      'piece worker 1',
    ]);
    expect(nodes.flatMap(({ children }) => children).toSorted((a, b) => a - b)).toEqual(
      nodes.slice(1).map(({ id }) => id),
    );
    expect(endTime).toBe(13_500);
    expect(samples.map((id, index) => [nodes[id - 1]?.callFrame.functionName, timeDeltas[index]])).toContainEqual([
      'digest',
      9000,
    ]);
  });

  test('keeps names out of the parentheses whose time 0x leaves out', () => {
    const { nodes } = cpuProfile(fold([{ thread: 'main thread', stack: ['(idle) work'], micros: 1 }]));
    expect(nodes.map(({ callFrame }) => callFrame.functionName)).toEqual(['all threads', 'main thread', 'idle work']);
  });
});

const PERF = `MainThread 10  5.100000: 
	ffffffff8134a0d5 _copy_to_iter ([kernel.kallsyms])
	          857a13 node::StreamBase::Write<(bool)1> (/opt/bin/node)
	    7f587bf53533 JS:*onread file:///home/me/p2p/src/main/net/tls.ts:156:3 (/tmp/perf-10.map)

WorkerThread 12  5.200000: 
	            1111 [unknown] (/home/me/blake3.node)

WorkerThread 11  5.250000: 
	            1111 work (/opt/bin/node)

WorkerThread 12  5.300000: 
	            2222 work (/opt/bin/node)
	            4711 [unknown] ([unknown])

V8Worker 13  5.300000: 
	            2222 mark (/opt/bin/node)

MainThread 10  6.000000: 
	            2222 late (/opt/bin/node)

`;

test("perf's samples of a span, outermost function first, workers numbered as they turn up", () => {
  const told = perfSamples(PERF, { fromMs: 5100, toMs: 5500 }, 1000);
  expect(told.map(({ thread, stack }) => [thread, ...stack])).toEqual([
    ['main thread', 'onread src/main/net/tls.ts:156', 'node::StreamBase::Write', '_copy_to_iter [kernel]'],
    ['piece worker 1', '[blake3.node]'],
    ['piece worker 2', 'work'],
    ['piece worker 1', 'work'],
    ['V8Worker (of Node)', 'mark'],
  ]);
  expect(new Set(told.map(({ micros }) => micros))).toEqual(new Set([1000]));
});

describe("V8's ticks", () => {
  const OTHER = 5;
  const code = [
    { name: 'onread file:///x/src/a.ts:1:2', type: 'JS' },
    { name: 'pwritev@@GLIBC_2.10', type: 'CPP' },
    { name: 'epoll_pwait@@GLIBC_2.6', type: 'CPP' },
  ];
  const told = (...ticks: readonly (readonly [tm: number, vm: number, s: number[]])[]) =>
    v8Samples({ code, ticks: ticks.map(([tm, vm, s]) => ({ tm, vm, s })) }, 'main thread', { fromMs: 1, toMs: 20 }).map(
      ({ stack, micros }) => [micros, ...stack],
    );

  test('stand for the time since the one before, as after a call of the kernel, within the span', () => {
    expect(
      told([900, OTHER, [0, 0]], [2000, OTHER, [0, 0]], [4500, OTHER, [1, 0, 0, 0]], [20_001, OTHER, [0, 0]]),
    ).toEqual([
      [1000, 'onread src/a.ts:1'],
      [2500, 'onread src/a.ts:1', 'pwritev'],
    ]);
  });

  test('count for nothing while the thread waits, and for little when it was not seen for long', () => {
    const [atomicsWait, idle] = [7, 8];
    expect(told([3000, idle, [2, 0]], [4000, atomicsWait, [0, 0]], [18_000, idle, [1, 0]])).toEqual([
      [5000, 'pwritev'],
    ]);
  });

  test('of unknown code are native where they happened, and nothing further out', () => {
    expect(told([2000, OTHER, [-1, 4711, -1, 4712, 0, 0]])).toEqual([[1000, 'onread src/a.ts:1', '[native code]']]);
  });
});

test('names say what is called and where, the same whatever way V8 had compiled it', () => {
  expect(scriptFrame('~keep file:///w/node_modules/.pnpm/a@1/node_modules/a/b.js:7:1')).toBe(
    'keep node_modules/a/b.js:7',
  );
  expect(scriptFrame('* node:net:12:3')).toBe('anonymous node:net:12');
  expect(nativeFrame('void v8::internal::(anonymous namespace)::Visit<a<b>, c>(int, d(e)) const')).toBe(
    'v8::internal::Visit',
  );
});
