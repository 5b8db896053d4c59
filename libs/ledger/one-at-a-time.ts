/** Does pieces of work one after the other, in the order in which they come. One that fails keeps no other from its turn. */
export class OneAtATime {
  private last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.last.then(work);
    this.last = mine.catch(() => undefined); // heard by whoever asked for it
    return mine;
  }
}
