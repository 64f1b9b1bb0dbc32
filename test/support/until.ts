import { setImmediate } from 'node:timers/promises';

/** Waits, turn by turn of the event loop, for what no event tells. The test's own timeout ends a wait in vain. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await setImmediate();
}
