/** PURE. An entry as a store gives it back. */
import type { Signed } from '../../protocol/signed.ts';
import type { Hlc } from '../../protocol/transaction.ts';

/** The columns that it is found by are true only once they were checked against what was signed. */
export interface StoredEntry {
  readonly origin: string;
  readonly seq: number;
  readonly requestId: string;
  readonly hlc: Hlc;
  readonly signed: Signed;
}
