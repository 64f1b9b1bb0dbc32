/** What a program needs to know of the terminal it was started from. */
import { readFileSync } from 'node:fs';

/** Whether another process group has our terminal. Known on Linux (proc(5), stat: pgrp and tpgid); elsewhere false. */
export function inBackground(): boolean {
  try {
    const stat = readFileSync('/proc/self/stat', 'utf8');
    const [, , processGroup, , , foregroundGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return foregroundGroup !== '-1' && processGroup !== foregroundGroup;
  } catch {
    return false;
  }
}
