/**
 * Who we are to others: one Ed25519 key pair and a self-signed certificate for it. Others know us by the SHA-256 of the
 * public key (SPKI), so the certificate's names and dates mean nothing. Files are made once, with mode 0600.
 */
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, type KeyObject, webcrypto, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { X509CertificateGenerator } from '@peculiar/x509';
import { RequestError } from '../../protocol/errors.ts';
import type { DeviceId, TrackerId } from '../../protocol/ids.ts';
import { keyId, spkiOf } from '../../protocol/signed.ts';

export interface Identity {
  /** SHA-256 of the public key: device id of a client, pin of a tracker. */
  readonly id: DeviceId & TrackerId;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  /** PEM of key and certificate, as TLS takes them. */
  readonly keyPem: string;
  readonly certPem: string;
}

const ALGORITHM = { name: 'Ed25519' } as const;
const FOREVER = new Date('9999-12-31T23:59:59Z');

/** A fresh key pair, kept nowhere. */
export async function newIdentity(): Promise<Identity> {
  const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=p2p-file-share',
    notBefore: new Date(0),
    notAfter: FOREVER,
    keys,
    signingAlgorithm: ALGORITHM,
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  return fromPem(privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, certificate.toString('pem'));
}

/** The identity kept in a directory, made on first use. Throws RequestError('disk-error') when it can't be read. */
export async function loadIdentity(directory: string): Promise<Identity> {
  const path = join(directory, 'identity.pem');
  if (existsSync(path)) {
    try {
      const pem = readFileSync(path, 'utf8');
      const end = pem.indexOf('-----BEGIN CERTIFICATE-----');
      return fromPem(pem.slice(0, end), pem.slice(end));
    } catch (error) {
      throw new RequestError(
        'disk-error',
        `${path} can't be read as a key and a certificate: ${(error as Error).message}`,
        'restore it from a copy; without it this installation is a stranger to everyone who knows it',
      );
    }
  }
  const identity = await newIdentity();
  const temporary = `${path}.new`;
  writeFileSync(temporary, identity.keyPem + identity.certPem, { mode: 0o600, flush: true });
  renameSync(temporary, path);
  return identity;
}

function fromPem(keyPem: string, certPem: string): Identity {
  const privateKey = createPrivateKey(keyPem);
  const publicKey = createPublicKey(privateKey);
  if (!new X509Certificate(certPem).checkPrivateKey(privateKey)) throw new Error('key and certificate do not match');
  return { id: keyId(spkiOf(publicKey)), publicKey, privateKey, keyPem, certPem };
}
