/**
 * Samples folded into one tree a process, with a frame for each thread at the root, and what a reader wants of it: the
 * hottest frames of a thread, and the tree as a V8 CPU profile, which 0x draws and DevTools opens. Values in, values out.
 */

/** What one thread was found doing, and for how much time that stands. */
export interface Sample {
  readonly thread: string;
  /** Outermost first. */
  readonly stack: readonly string[];
  readonly micros: number;
}

export interface Frame {
  readonly name: string;
  /** In the frame itself, without what it called. */
  selfMicros: number;
  readonly callees: Map<string, Frame>;
}

export interface ThreadTime {
  readonly thread: string;
  readonly micros: number;
  /** By time in the function itself, on whatever stack, the most first. */
  readonly hottest: readonly { readonly name: string; readonly micros: number }[];
}

const frameOf = (name: string): Frame => ({ name, selfMicros: 0, callees: new Map() });

export function fold(samples: readonly Sample[]): Frame {
  const root = frameOf('all threads');
  for (const { thread, stack, micros } of samples) {
    let frame = root;
    for (const name of [thread, ...stack]) {
      const callee = frame.callees.get(name) ?? frameOf(name);
      frame.callees.set(name, callee);
      frame = callee;
    }
    frame.selfMicros += micros;
  }
  return root;
}

/** Threads in the order of the time they took, the most first. */
export function threadTimes(root: Frame, hottestMax: number): ThreadTime[] {
  const times = [...root.callees.values()].map((thread) => {
    const own = new Map<string, number>();
    addOwn(thread, own);
    const hottest = [...own]
      .map(([name, micros]) => ({ name, micros }))
      .sort((a, b) => b.micros - a.micros)
      .slice(0, hottestMax);
    return { thread: thread.name, micros: [...own.values()].reduce((sum, micros) => sum + micros, 0), hottest };
  });
  return times.sort((a, b) => b.micros - a.micros);
}

function addOwn(frame: Frame, own: Map<string, number>): void {
  if (frame.selfMicros > 0) own.set(frame.name, (own.get(frame.name) ?? 0) + frame.selfMicros);
  for (const callee of frame.callees.values()) addOwn(callee, own);
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly scriptId: '0';
    readonly url: '';
    readonly lineNumber: -1;
    readonly columnNumber: -1;
  };
  readonly hitCount: number;
  readonly children: readonly number[];
}

export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly startTime: 0;
  readonly endTime: number;
  /** The node of each stretch of time; by stack, not as time went by. */
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** A hit is a microsecond. The root has id 1, as 0x expects. */
export function cpuProfile(root: Frame): CpuProfile {
  const nodes: ProfileNode[] = [];
  let lastId = 0;
  const add = ({ name, selfMicros, callees }: Frame): number => {
    lastId += 1;
    const id = lastId;
    const children = [...callees.values()].map(add);
    // 0x leaves out the time of what begins with a parenthesis, such as V8's own "(idle)".
    const functionName = name.replace(/^\(([^)]*)\)/, '$1');
    const callFrame = { functionName, scriptId: '0', url: '', lineNumber: -1, columnNumber: -1 } as const;
    nodes.push({ id, callFrame, hitCount: Math.round(selfMicros), children });
    return id;
  };
  add(root);
  nodes.sort((a, b) => a.id - b.id);
  const hit = nodes.filter(({ hitCount }) => hitCount > 0);
  const timeDeltas = hit.map(({ hitCount }) => hitCount);
  const endTime = timeDeltas.reduce((sum, micros) => sum + micros, 0);
  return { nodes, startTime: 0, endTime, samples: hit.map(({ id }) => id), timeDeltas };
}
