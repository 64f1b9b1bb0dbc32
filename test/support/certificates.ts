/** An authority, and certificates of it for 127.0.0.1, as PEM files: what a real etcd wants for TLS. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DATES = { notBefore: new Date(2020, 0, 1), notAfter: new Date(2100, 0, 1) };

export interface CertificateFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const newKeys = () =>
  webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;

/** Files `<name>-ca.pem`, `<name>.pem` and `<name>-key.pem` in a directory. The certificate serves both ends. */
export async function certificateFiles(directory: string, name: string): Promise<CertificateFiles> {
  const authorityKeys = await newKeys();
  const authority = await X509CertificateGenerator.createSelfSigned({
    ...DATES,
    name: `CN=${name} authority`,
    keys: authorityKeys,
    signingAlgorithm: ALGORITHM,
    extensions: [new BasicConstraintsExtension(true, undefined, true)],
  });
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.create({
    ...DATES,
    subject: `CN=${name}`,
    issuer: authority.subject,
    publicKey: keys.publicKey,
    signingKey: authorityKeys.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }]),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
    ],
  });
  const files = {
    ca: join(directory, `${name}-ca.pem`),
    cert: join(directory, `${name}.pem`),
    key: join(directory, `${name}-key.pem`),
  };
  const pem = (one: X509Certificate) => one.toString('pem');
  writeFileSync(files.ca, pem(authority));
  writeFileSync(files.cert, pem(certificate));
  const secret = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  writeFileSync(files.key, PemConverter.encode(secret, 'PRIVATE KEY'));
  return files;
}
