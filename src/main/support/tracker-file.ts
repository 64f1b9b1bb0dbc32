/** Reads tracker_info.txt. Every failure names the file and says what is expected. */
import { readFileSync } from 'node:fs';
import { RequestError } from '../../protocol/errors.ts';
import { parseTrackerInfo, type TrackerLine } from '../../protocol/tracker-info.ts';

/** Throws RequestError('tracker-info'). */
export function readTrackerFile(path: string): readonly TrackerLine[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new RequestError(
      'tracker-info',
      code === 'ENOENT' ? `there is no file ${path}` : `${path} can't be read: ${message}`,
      'it lists the trackers, one a line, as "<ip> <port> [<pin>]", for example "127.0.0.1 9000"',
    );
  }
  return parseTrackerInfo(text, path);
}
