/** Waits for what no event tells: asks again until it holds. The test's own time limit ends it. */
import { setTimeout as delay } from 'node:timers/promises';

const ASK_AGAIN_MS = 10;

export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await delay(ASK_AGAIN_MS);
}
