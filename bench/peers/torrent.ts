/** A torrent (BitTorrent version 1) of one file, which is the version that all others here speak. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import bencode from 'bencode';

export class Torrent {
  readonly #info: object;

  /** Reads all of the file. */
  constructor(path: string, pieceBytes: number) {
    const buffer = Buffer.alloc(pieceBytes);
    const hashes: Buffer[] = [];
    let sizeBytes = 0;
    const fd = openSync(path, 'r');
    try {
      for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) {
        hashes.push(createHash('sha1').update(buffer.subarray(0, read)).digest());
        sizeBytes += read;
      }
    } finally {
      closeSync(fd);
    }
    this.#info = {
      length: sizeBytes,
      name: basename(path),
      'piece length': pieceBytes,
      // Peers come from where the bench says, from nowhere else.
      private: 1,
      pieces: Buffer.concat(hashes),
    };
  }

  /** The torrent file; `announce` is the address of a tracker. */
  file(announce?: string): Uint8Array {
    return bencode.encode({ ...(announce === undefined ? {} : { announce }), info: this.#info });
  }
}
