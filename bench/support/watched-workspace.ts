/** A workspace some of whose processes are looked at by a sampler, and the span of time that is of interest. */
import { join } from 'node:path';
import type { Child } from './child.ts';
import type { Sample } from './flame-tree.ts';
import type { Span } from './perf-script.ts';
import { monotonicMs, type Sampler } from './sampler.ts';
import { Workspace } from './workspace.ts';

const PROJECT = join(import.meta.dirname, '..', '..');

export class WatchedWorkspace extends Workspace {
  readonly #sampler: Sampler;
  readonly #names: readonly string[];
  /** By name, of the last process that had it. */
  readonly #samples = new Map<string, (span: Span) => Promise<Sample[]>>();
  #marks: { readonly name: string; readonly begin: string; readonly end: string } | undefined;
  #fromMs = 0;
  #toMs = 0;

  /** Programs of these names are watched. */
  constructor(directoryName: string, neededBytes: number, sampler: Sampler, names: readonly string[]) {
    super(directoryName, neededBytes);
    this.#sampler = sampler;
    this.#names = names;
  }

  begin(): void {
    this.#fromMs = monotonicMs();
  }

  end(): void {
    this.#toMs = monotonicMs();
  }

  /** From now on a line of that process which holds `begin` begins the span, and one which holds `end` ends it. */
  spanOf(name: string, begin: string, end: string): void {
    this.#marks = { name, begin, end };
  }

  get seconds(): number {
    return (this.#toMs - this.#fromMs) / 1000;
  }

  override startProgram(name: string, program: string, args: readonly string[]): Child {
    if (!this.#names.includes(name)) return super.startProgram(name, program, args);
    const child = this.start(name, process.execPath, [...this.#sampler.flags(this), join(PROJECT, program), ...args]);
    this.#samples.set(name, this.#sampler.watch(this, child));
    child.onLine((line) => {
      if (this.#marks?.name !== name) return;
      if (line.includes(this.#marks.begin)) this.begin();
      if (line.includes(this.#marks.end)) this.end();
    });
    return child;
  }

  /** What a watched process, which has ended, did within the span. */
  async samplesOf(name: string): Promise<Sample[]> {
    const samples = await this.#samples.get(name)?.({ fromMs: this.#fromMs, toMs: this.#toMs });
    if (!samples || samples.length === 0) throw new Error(`no samples of ${name}`);
    return samples;
  }
}
