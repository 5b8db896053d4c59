import type { Socket } from 'node:net';
import { connectToSocket, Lines } from '@dormouse/process';

/** QEMU's longest answers are some hundred KiB; a guest may send whatever it likes. */
const longestLine = 4 * 1024 * 1024;

/** A unix socket that speaks one JSON document a line, as QMP and the guest agent do. One whose line never ends is closed. */
export class LineSocket {
  private readonly lines = new Lines(longestLine);

  private constructor(private readonly socket: Socket) {
    socket.setEncoding('utf8');
  }

  static open(path: string): Promise<LineSocket> {
    return new Promise((resolve, reject) => {
      const socket = connectToSocket(path);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new LineSocket(socket));
      });
    });
  }

  onLine(listener: (line: string) => void): void {
    this.socket.on('data', (text: string) => {
      const lines = this.lines.push(text);
      if (lines === null) return void this.socket.destroy(new Error('it sent a line without end'));
      for (const line of lines) if (line.trim() !== '') listener(line);
    });
  }

  onClose(listener: (cause: Error | null) => void): void {
    let cause: Error | null = null;
    this.socket.on('error', (error) => (cause = error));
    this.socket.on('close', () => listener(cause));
  }

  send(line: string): void {
    this.socket.write(line + '\n');
  }

  close(): void {
    this.socket.destroy();
  }
}
