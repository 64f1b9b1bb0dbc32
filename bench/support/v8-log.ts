/** What `node --prof-process --preprocess` makes of the log that V8 keeps of one thread (`--prof`), as samples. PURE. */
import * as v from 'valibot';
import type { Sample } from './flame-tree.ts';
import { nativeFrame, scriptFrame } from './frame-names.ts';
import type { Span } from './perf-script.ts';

const codeSchema = v.object({ name: v.string(), type: v.string() });
const tickSchema = v.object({
  /** Microseconds since the log was begun. */
  tm: v.number(),
  vm: v.number(),
  /** Innermost first: the number of a code or -1, then where in it. */
  s: v.array(v.number()),
});
export const v8LogSchema = v.object({ code: v.array(codeSchema), ticks: v.array(tickSchema) });
export type V8Log = v.InferOutput<typeof v8LogSchema>;

/** States of V8 (`StateTag`). It calls a thread idle until it is back in JavaScript, though it decrypts before: see WAITING. */
const ATOMICS_WAIT = 7;
const LOGGING = 9;
/** What a thread is in while it waits for events. */
const WAITING = /^_*(epoll_p?wait2?|kevent|poll)\b/;
/** One that is not seen for longer did not run. */
const GAP_MICROS_MAX = 5000;

/**
 * Samples of the span, which counts from the log's begin. A thread that is in the kernel is seen when it leaves it, so
 * each tick stands for the time since the one before.
 */
export function v8Samples({ code, ticks }: V8Log, thread: string, { fromMs, toMs }: Span): Sample[] {
  const samples: Sample[] = [];
  let lastMicros = fromMs * 1000;
  for (const { tm, vm, s } of ticks) {
    if (tm < fromMs * 1000 || tm > toMs * 1000) continue;
    const micros = Math.min(Math.max(0, tm - lastMicros), GAP_MICROS_MAX);
    lastMicros = Math.max(tm, lastMicros);
    if (vm === ATOMICS_WAIT || vm === LOGGING || WAITING.test(code[s[0] ?? -1]?.name ?? '')) continue;
    const numbers = s.filter((_, index) => index % 2 === 0);
    const stack = numbers.flatMap((number, index) => {
      const known = code[number];
      if (known) return [frameName(known)];
      return index === 0 ? ['[native code]'] : [];
    });
    samples.push({ thread, stack: stack.reverse(), micros });
  }
  return samples;
}

function frameName({ name, type }: V8Log['code'][number]): string {
  if (type === 'JS') return scriptFrame(name);
  return type === 'CPP' ? nativeFrame(name) : name;
}
