/** The library's face: what a program that embeds a client or a tracker may use. */
export { RequestError } from '../protocol/errors.ts';
export { Client } from './client/client.ts';
export type { ClientApi, ClientOptions, Notice, SharedFile, SharedFolder, ShareProgress } from './client/types.ts';
export type { Download } from './swarm/download-handle.ts';
export { DownloadManager } from './swarm/download-manager.ts';
export type { DownloadState, DownloadStatus, PeerStatus } from './swarm/status.ts';
export { Tracker } from './tracker/node.ts';
