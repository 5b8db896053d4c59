import type { FoundFile, FoundLayer, LayerSurvey } from './survey-layers';

/** What is to become of a desktop's layers. */
export interface LayerPlan {
  /** Nobody needs them, for longer than the grace. Upper ones first: killed half way, every layer left has what is below it. */
  readonly remove: readonly FoundFile[];
  /** Nobody needs them, and their grace is not over. */
  readonly waiting: readonly FoundFile[];
  /** Runs that are worth being made one layer: lowest first, each lying on the one before. */
  readonly merges: readonly (readonly FoundLayer[])[];
}

export interface LayerAges {
  /** A layer that was modified since then is left for later. */
  readonly unneededBeforeMs: number;
  /** And an unfinished file: somebody may be at it. */
  readonly abandonedBeforeMs: number;
}

/**
 * A layer is held when its generation is: a checkpoint was sealed with it, names blocks of its file, a machine writes to it,
 * or an operation is at it. Needed is what is held and all below it. Of what is needed only for what lies on it the content
 * counts and not the file, so runs of such layers may become one.
 * @param held generations
 */
export function planLayers(
  { layers, unfinished }: LayerSurvey,
  held: ReadonlySet<string>,
  { unneededBeforeMs, abandonedBeforeMs }: LayerAges,
): LayerPlan {
  const byName = new Map(layers.map((layer) => [layer.file, layer]));
  const isHeld = ({ owner }: FoundLayer): boolean => held.has(owner);
  const below = ({ below: file }: FoundLayer): FoundLayer | undefined => (file === null ? undefined : byName.get(file));

  const needed = new Set<FoundLayer>();
  for (const layer of layers.filter(isHeld)) {
    for (let at: FoundLayer | undefined = layer; at !== undefined && !needed.has(at); at = below(at)) needed.add(at);
  }
  const unneeded = upperFirst(
    layers.filter((layer) => !needed.has(layer)),
    below,
  );
  return {
    remove: [...unneeded.filter(before(unneededBeforeMs)), ...unfinished.filter(before(abandonedBeforeMs))],
    waiting: [...unneeded.filter(since(unneededBeforeMs)), ...unfinished.filter(since(abandonedBeforeMs))],
    merges: runsOf(needed, isHeld, below)
      .map(worthMerging)
      .filter((run) => run.length > 1),
  };
}

const before = (ms: number) => (file: FoundFile) => file.modifiedAtMs <= ms;
const since = (ms: number) => (file: FoundFile) => file.modifiedAtMs > ms;

type Below = (layer: FoundLayer) => FoundLayer | undefined;

function upperFirst(layers: readonly FoundLayer[], below: Below): FoundLayer[] {
  const ordered = new Set<FoundLayer>();
  // A layer goes behind all that lie on it: lowest first, then turned round. A circle, which QEMU cannot open, ends as well.
  const visit = (layer: FoundLayer, path: Set<FoundLayer>): void => {
    if (ordered.has(layer) || path.has(layer)) return;
    const under = below(layer);
    if (under !== undefined) visit(under, path.add(layer));
    ordered.add(layer);
  };
  for (const layer of layers) visit(layer, new Set());
  const wanted = new Set(layers);
  return [...ordered].reverse().filter((layer) => wanted.has(layer));
}

/** Longest runs of layers that are not held and have nothing needed on them but the next one of their run. */
function runsOf(needed: ReadonlySet<FoundLayer>, isHeld: (layer: FoundLayer) => boolean, below: Below): FoundLayer[][] {
  const above = new Map<FoundLayer, FoundLayer[]>();
  for (const layer of needed) {
    const under = below(layer);
    if (under !== undefined) above.set(under, [...(above.get(under) ?? []), layer]);
  }
  const next = (layer: FoundLayer): FoundLayer | undefined => {
    const [only, ...others] = above.get(layer) ?? [];
    return only !== undefined && others.length === 0 && !isHeld(only) ? only : undefined;
  };
  const runs: FoundLayer[][] = [];
  for (const layer of needed) {
    if (isHeld(layer)) continue;
    const under = below(layer);
    if (under !== undefined && !isHeld(under) && next(under) === layer) continue; // not where its run begins
    const run: FoundLayer[] = [];
    for (let at: FoundLayer | undefined = layer; at !== undefined; at = next(at)) run.push(at);
    runs.push(run);
  }
  return runs;
}

/** A layer is written again only when what comes to it is at least this share of it. */
const leastShare = 0.25;

/**
 * The part of a run that is merged now. Merging writes all of the part: with every little layer merged into a large one,
 * each sleep of a desktop would write all that ever changed on its disk. Layers that stay apart grow by a factor from one
 * to the one below, so few of them are left, and no byte is written more often than there are such steps.
 */
function worthMerging(run: readonly FoundLayer[]): readonly FoundLayer[] {
  for (let top = run.length - 1; top > 0; top--) {
    let bottom = top;
    let bytes = run[top]!.bytes;
    while (bottom > 0 && run[bottom - 1]!.bytes * leastShare <= bytes) bytes += run[--bottom]!.bytes;
    if (bottom < top) return run.slice(bottom, top + 1);
  }
  return [];
}
