/** What a bench reads off a process (from /proc, so on Linux), and how a handful of rounds becomes a number. */
import { readFileSync } from 'node:fs';
import { KIB } from '../../src/protocol/limits.ts';

/** The kernel's unit of time in /proc, whatever its own clock: USER_HZ. */
const TICKS_PER_SECOND = 100;

/** A numbered field of /proc/<pid>/stat, as proc(5) counts them. */
function statField(pid: number | 'self', number: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field, a name, may hold spaces and parentheses: the others are counted from its last one.
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[number - 3]);
}

/** CPU time of a process and all its threads so far, user and system. */
export function cpuSeconds(pid: number): number {
  return (statField(pid, 14) + statField(pid, 15)) / TICKS_PER_SECOND;
}

/** CPU time of all processes that this one started and that have ended. */
export function endedChildrenCpuSeconds(): number {
  return (statField('self', 16) + statField('self', 17)) / TICKS_PER_SECOND;
}

/** A line of /proc/<pid>/status that counts kB. */
function statusBytes(pid: number, name: 'VmHWM' | 'VmRSS'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const match = new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(status);
  if (!match) throw new Error(`/proc/${pid}/status tells no ${name}`);
  return Number(match[1]) * KIB;
}

/** The most memory that a process has had resident so far. */
export const peakMemoryBytes = (pid: number): number => statusBytes(pid, 'VmHWM');

/** What it has resident now. */
export const memoryBytes = (pid: number): number => statusBytes(pid, 'VmRSS');

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.ceil((sorted.length - 1) / 2)]];
  return {
    median: ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2,
    min: sorted.at(0) ?? Number.NaN,
    max: sorted.at(-1) ?? Number.NaN,
  };
}
