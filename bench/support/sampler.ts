/**
 * Two ways to see what the threads of a Node process do, native code included. Linux's `perf` samples CPU time, the
 * kernel's too, with whole native stacks, and needs a permission. V8's `--prof` needs none: it looks at each thread a
 * thousand times a second, sees JavaScript's stack and the native function on top of it, and takes time in the kernel
 * for that function's. 0x could run either, but only to follow a process that it starts, and of V8's logs only one thread's.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Child } from './child.ts';
import type { Sample } from './flame-tree.ts';
import { perfSamples, type Span } from './perf-script.ts';
import { type V8Log, v8LogSchema, v8Samples } from './v8-log.ts';
import type { Workspace } from './workspace.ts';

const PERF_HZ = 999;
const OUTPUT_BYTES_MAX = 2 ** 30;

export interface Sampler {
  readonly what: string;
  /** For the node that is to be looked at. */
  flags(workspace: Workspace): readonly string[];
  /** Called when it has just been started. Returns what its threads did within the span; to be called when it has ended. */
  watch(workspace: Workspace, child: Child): (span: Span) => Promise<Sample[]>;
}

export const SAMPLERS = { perf: perf(), v8: v8() } as const;

/** Whether this user may look into the kernel with perf. */
export function perfWorks(): boolean {
  const args = ['record', '-q', '-e', 'cpu-clock:k', '-o', '/dev/null', '--', 'true'];
  return spawnSync('perf', args, { stdio: 'ignore' }).status === 0;
}

/** Since the machine was started: perf's clock, with `-k mono`. */
export const monotonicMs = () => Number(process.hrtime.bigint()) / 1e6;

function perf(): Sampler {
  return {
    what: 'perf: CPU time, the kernel included',
    flags: () => ['--perf-basic-prof', '--interpreted-frames-native-stack'],
    watch(workspace, { name, pid }) {
      // V8 writes the names of its functions where perf looks for them.
      process.once('exit', () => rmSync(`/tmp/perf-${pid}.map`, { force: true }));
      const data = workspace.path(`${name}-${pid}.perf`);
      const args = ['-q', '-F', `${PERF_HZ}`, '-e', 'cpu-clock', '-k', 'mono', '-g', '-p', `${pid}`, '-o', data];
      const recorder = workspace.start('perf', 'perf', ['record', ...args]);
      return async (span) => {
        await recorder.ended;
        const text = output('perf', ['script', '-i', data, '-F', 'comm,tid,time,ip,sym,dso']);
        return perfSamples(text, span, PERF_HZ);
      };
    },
  };
}

function v8(): Sampler {
  return {
    what: "V8's --prof: time that passed, the kernel's taken for the function that called it",
    flags: (workspace) => ['--prof', `--logfile=${workspace.path('%p.log')}`],
    watch:
      (workspace, { pid }) =>
      async (span) =>
        threadLogs(workspace, pid).flatMap((log) => samplesOf(log, span)),
  };
}

interface ThreadLog {
  readonly path: string;
  readonly begunMs: number;
  readonly thread: string;
}

/** V8 begins a log with a thread: the first is the main thread's. */
function threadLogs(workspace: Workspace, pid: number): ThreadLog[] {
  return readdirSync(workspace.directory)
    .filter((name) => name.endsWith(`-${pid}.log`))
    .map((name) => workspace.path(name))
    .map((path) => ({ path, begunMs: statSync(path).birthtimeMs }))
    .sort((a, b) => a.begunMs - b.begunMs)
    .map((log, index) => ({ ...log, thread: index === 0 ? 'main thread' : `piece worker ${index}` }));
}

function samplesOf({ path, begunMs, thread }: ThreadLog, { fromMs, toMs }: Span): Sample[] {
  const begunAt = begunMs - (Date.now() - monotonicMs());
  return v8Samples(preprocessed(path), thread, { fromMs: fromMs - begunAt, toMs: toMs - begunAt });
}

/**
 * Node's own reader of logs finds no names in Node's own program: it cuts the list of symbols off at 1 MiB, and shifts those
 * of a program that has fixed addresses. The preload lifts the limit, and `true` in place of objdump keeps it from shifting.
 */
function preprocessed(path: string): V8Log {
  const preload = join(import.meta.dirname, 'long-output.ts');
  const args = ['--require', preload, '--prof-process', '--preprocess', '--objdump=true', path];
  return v.parse(v8LogSchema, JSON.parse(output(process.execPath, args)));
}

function output(command: string, args: readonly string[]): string {
  const { stdout, stderr, status, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: OUTPUT_BYTES_MAX });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ended with exit code ${status}: ${stderr.trim().slice(-500)}`);
  return stdout;
}
