/** No WebRTC on this machine: WebTorrent looks for RTCPeerConnection, and speaks TCP alone when there is none. */
export const RTCPeerConnection = undefined;
export const RTCSessionDescription = undefined;
export const RTCIceCandidate = undefined;
