/** What `perf script -F comm,tid,time,ip,sym,dso` prints, as samples. PURE. */
import { basename } from 'node:path';
import type { Sample } from './flame-tree.ts';
import { nativeFrame, scriptFrame } from './frame-names.ts';

const HEADER = /^\s*(.+?)\s+(\d+)\s+(\d+\.\d+):\s*$/;
const FRAME = /^\s+[0-9a-f]+ (.+) \((.*?)\)$/;

/** A part of the machine's monotonic time. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Samples of the span. Each stands for as much time as lies between two. */
export function perfSamples(text: string, { fromMs, toMs }: Span, sampleHz: number): Sample[] {
  const samples: Sample[] = [];
  const workers: string[] = [];
  for (const block of text.split('\n\n')) {
    const [header = '', ...lines] = block.split('\n').filter((line) => line !== '');
    const [, command = '', tid = '', seconds] = HEADER.exec(header) ?? [];
    const atMs = Number(seconds) * 1000;
    // Not a number when it is no header.
    if (!(atMs >= fromMs && atMs <= toMs)) continue;
    const stack = lines.flatMap((line, index) => {
      const [, symbol, object = ''] = FRAME.exec(line) ?? [];
      // Below the innermost, what lies in no program at all was never a caller: assembler left something else there.
      const isStray = symbol === '[unknown]' && object === '[unknown]' && index > 0;
      return symbol === undefined || isStray ? [] : [frameName(symbol, object)];
    });
    samples.push({ thread: threadName(command, tid, workers), stack: stack.reverse(), micros: 1e6 / sampleHz });
  }
  return samples;
}

/** Node names its threads. Worker threads are numbered as they turn up; helpers of one kind are one. */
function threadName(command: string, tid: string, workers: string[]): string {
  if (command === 'MainThread' || command === 'node-MainThread') return 'main thread';
  if (command !== 'WorkerThread') return `${command} (of Node)`;
  if (!workers.includes(tid)) workers.push(tid);
  return `piece worker ${workers.indexOf(tid) + 1}`;
}

function frameName(symbol: string, object: string): string {
  if (symbol === '[unknown]') return object.startsWith('[') ? object : `[${basename(object)}]`;
  if (object.startsWith('[')) return `${symbol} [kernel]`;
  if (/^(JS|Script|Function|LazyCompile|Eval):/.test(symbol)) return scriptFrame(symbol.slice(symbol.indexOf(':') + 1));
  return nativeFrame(symbol);
}
