/** What `work` answers, asked at most once in this time, and once for all who ask meanwhile: an open route is not to cost its callers' number. */
export function onceIn<T>(everyMs: number, work: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | null = null;
  let doneAtMs = 0;
  return () => {
    if (answer !== null && (doneAtMs === 0 || performance.now() - doneAtMs < everyMs)) return answer;
    doneAtMs = 0;
    const asked = work();
    answer = asked;
    const done = () => {
      doneAtMs = performance.now();
    };
    void asked.then(done, done);
    return asked;
  };
}
