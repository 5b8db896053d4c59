/**
 * What is written to a pipe whose reader is gone, or to a terminal that was closed, is lost; the process that writes it goes on. Node
 * would end it: in the middle of putting desktops to sleep.
 */
export function bearLostOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}
