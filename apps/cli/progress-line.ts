/** One line on a terminal's standard error that is written over; nothing elsewhere. */
export function progressLine() {
  const { stderr } = process;
  const clear = (): void => void (stderr.isTTY && stderr.write('\r\u001b[K'));
  return {
    show: (what: string, done: number, total: number): void => {
      clear();
      if (stderr.isTTY) stderr.write(`${what}: ${done} of ${total}`);
    },
    clear,
  };
}
