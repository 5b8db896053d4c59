import {
  joinWords,
  readTraces,
  type PreviousCheckpoint,
  type SeenPages,
  type WakeChoice,
  type WakeChooser,
  type WakeTrace,
} from '@dormouse/checkpoint';
import { describeError } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';
import {
  choose,
  decodeWorkingSet,
  encodeWorkingSet,
  learn,
  nothingKnown,
  requestsIn,
  type WorkingSet,
  type WakeTrace as Lesson,
} from '@dormouse/working-set';

/** Wakes of one checkpoint that are learned from. */
const mostTraces = 8;

/** What the wakes of the previous checkpoint have shown, turned into the wake set of the next. */
export class WakeLearning implements WakeChooser {
  readonly candidates: Uint32Array;

  private constructor(
    private readonly known: WorkingSet,
    private readonly last: Lesson | null,
    private readonly mostPages: number,
  ) {
    // What is known of writes by the end only takes doubt away: whoever is chosen then is, but for few, chosen now.
    const foreseen = learn(known, last, { written: () => false, rewritten: [] });
    const { ahead, onTrial } = choose(foreseen, mostPages);
    this.candidates = joinWords(ahead, onTrial);
  }

  /**
   * What cannot be read is not learned from: the next wake is slower, and works.
   * @param mostPages of the wake set
   */
  static async from(
    store: BlobStore,
    previous: PreviousCheckpoint | null,
    dataKey: Parameters<typeof readTraces>[2],
    mostPages: number,
  ): Promise<WakeLearning> {
    if (previous === null) return new WakeLearning(nothingKnown, null, mostPages);
    try {
      let known = decodeWorkingSet(previous.workingSet, previous.pages);
      const about = { pages: previous.pages, most: mostTraces, onTooLarge };
      const lessons = (await readTraces(store, previous.manifest, dataKey, about)).map(lessonOf);
      const { withheld } = choose(known, mostPages);
      for (const lesson of lessons.slice(0, -1)) {
        known = learn(known, { ...lesson, withheld }, { written: () => false, rewritten: [] });
      }
      const last = lessons.at(-1);
      return new WakeLearning(known, last === undefined ? null : { ...last, withheld }, mostPages);
    } catch (error) {
      process.stderr.write(`earlier wakes are of no use to the next: ${describeError(error).message}\n`);
      return new WakeLearning(nothingKnown, null, mostPages);
    }
  }

  choose({ rewritten, has, written }: SeenPages): WakeChoice {
    const learned = learn(this.known, this.last, { written: (page) => has(page) && written(page), rewritten });
    const kept = { members: learned.members.filter(({ page }) => has(page)) };
    const { ahead, ranksMs, onTrial } = choose(kept, this.mostPages);
    return {
      pages: joinWords(ahead, onTrial),
      ranksMs: joinWords(ranksMs, new Uint32Array(onTrial.length).fill(ranksMs.at(-1) ?? 0)),
      onTrial: onTrial.length,
      workingSet: encodeWorkingSet(learned),
    };
  }
}

function onTooLarge(key: string, bytes: number): void {
  process.stderr.write(
    `${key} has ${bytes} bytes, which no trace of a wake has: it is not read. Remove it from the storage\n`,
  );
}

function lessonOf({ ahead, requests }: WakeTrace): Omit<Lesson, 'withheld'> {
  return { ahead, requests: requestsIn(requests) };
}
