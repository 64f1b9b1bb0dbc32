/**
 * Bytes from a pipe as lines of text: UTF-8, ended by LF or CRLF, the last one also by the end of the input. A line is
 * yielded as soon as it is complete. A line longer than any command can be is refused before more of it is kept.
 */
import { RequestError } from '../../protocol/errors.ts';
import { KIB } from '../../protocol/limits.ts';

export const LINE_CHARACTERS_MAX = 64 * KIB;

/** Throws RequestError('bad-request') for a line that is too long. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array | string>): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  let rest = '';
  const checked = (line: string): string => {
    if (line.length <= LINE_CHARACTERS_MAX) return line;
    throw new RequestError('bad-request', `a line is longer than ${LINE_CHARACTERS_MAX} characters`);
  };
  for await (const chunk of chunks) {
    rest += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      const line = rest.slice(0, end);
      rest = rest.slice(end + 1);
      yield checked(line.replace(/\r$/, ''));
    }
    checked(rest);
  }
  rest += decoder.decode();
  if (rest !== '') yield checked(rest.replace(/\r$/, ''));
}
