/** What befell simulated worlds, counted: agreement means little in a world where nothing went wrong. */
import { type Logger, pino } from 'pino';

export interface Hardships {
  /** Requests that some tracker had on its disk. */
  acknowledged: number;
  crashes: number;
  /** Written by a tracker that crashed before its disk had them. */
  unsyncedLost: number;
  /** Links that were cut because the network split. */
  cut: number;
  duplicated: number;
  /** Messages that arrived after one that was sent later over the same link. */
  overtaken: number;
  /** Entries that were refused because they came from the future. */
  refusedAhead: number;
  /** Transactions that were done again because earlier ones came late. */
  replayed: number;
}

export const noHardships = (): Hardships => ({
  acknowledged: 0,
  crashes: 0,
  unsyncedLost: 0,
  cut: 0,
  duplicated: 0,
  overtaken: 0,
  refusedAhead: 0,
  replayed: 0,
});

export function addHardships(total: Hardships, some: Hardships): void {
  for (const name of Object.keys(some) as (keyof Hardships)[]) total[name] += some[name];
}

/** A tracker's logger that hears of entries from the future. */
export function countingLogger(hardships: Hardships): Logger {
  const write = (line: string) => {
    if (line.includes('too far in the future')) hardships.refusedAhead += 1;
  };
  return pino({ level: 'warn' }, { write });
}
