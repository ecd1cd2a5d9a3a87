import { createDetector, observe } from './detector.ts';
import type { DetectorConfig, DetectorEvent, DetectorState, Signal } from './detector-state.ts';
import { type Checkpoint, type Proposal, proposeFor } from './proposal.ts';
import { type IncidentKind, RULES, type RuleId } from './rules.ts';

/** What one rule has said in an incident: its first words, its highest value, and when. */
export interface Evidence {
  readonly rule: RuleId;
  readonly level: Signal['level'];
  readonly firstIteration: number;
  readonly lastIteration: number;
  /** Lines on which the rule spoke. */
  readonly count: number;
  readonly value?: number;
  readonly threshold?: number;
  readonly message: string;
}

/**
 * Signals of one kind that belong together. `recovering` when a line was quiet, `closed` when enough of them were;
 * `diverged` when the loss did not come back, which only a change of the run can mend.
 */
export interface Incident {
  /** Kind and iteration of the opening, such as `loss-spike-31216`. */
  readonly id: string;
  readonly kind: IncidentKind;
  readonly level: 'warn' | 'critical';
  readonly state: 'open' | 'recovering' | 'closed' | 'diverged';
  readonly title: string;
  /** Iteration of the first sign, which may be before the opening. */
  readonly onset: number;
  readonly openedAt: number;
  readonly lastIteration: number;
  readonly evidence: readonly Evidence[];
  /** The newest complete checkpoint from before the onset, or the run's base. */
  readonly checkpoint?: Checkpoint;
  readonly proposal: Proposal;
}

/** A change of an incident. Only `opened` and `escalated` call for somebody. */
export interface IncidentEvent {
  readonly type: 'incident';
  readonly change: 'opened' | 'escalated' | 'recovering' | 'reopened' | 'closed' | 'diverged';
  readonly incident: Incident;
}

/** An incident that is not over, and how many lines it has been quiet. */
interface OpenIncident {
  readonly incident: Incident;
  readonly quietLines: number;
}

/** Detector and incidents. Plain data of constant size: JSON takes it and gives it back. */
export interface MonitorState {
  readonly detector: DetectorState;
  readonly open: readonly OpenIncident[];
  /** Notes of the last iterations, from which an incident may have begun. */
  readonly notes: readonly Signal[];
  readonly checkpoints: readonly Checkpoint[];
}

/** Lines, of idle GPUs looks at the metrics, without a signal after which an incident is over. No line makes a start right. */
const QUIET_LINES: Partial<Record<IncidentKind, number>> = {
  hang: 1,
  'wrong-start': Number.POSITIVE_INFINITY,
  'lost-progress': Number.POSITIVE_INFINITY,
  'idle-gpu': 2,
};
const USUAL_QUIET_LINES = 32;
const NOTE_ITERATIONS = 5;
const MOST_CHECKPOINTS = 16;
const DIVERGED: readonly RuleId[] = ['C1', 'C2'];

/** A monitor that has seen nothing. */
export function createMonitor(config: DetectorConfig = {}): MonitorState {
  return { detector: createDetector(config), open: [], notes: [], checkpoints: [] };
}

/** The monitor after an event, the signals of the rules, and what became of incidents. Pure, as `observe` is. */
export function advance(
  before: MonitorState,
  event: DetectorEvent,
  atMs?: number,
): { state: MonitorState; signals: Signal[]; changes: IncidentEvent[] } {
  const { state: detector, signals } = observe(before.detector, event, atMs);
  const isNewLine = event.type === 'iteration' && detector !== before.detector;
  let state: MonitorState = { ...before, detector };
  if (event.type === 'checkpoint-saved') state = { ...state, checkpoints: addCheckpoint(before.checkpoints, event) };
  const isLook = event.type === 'metrics';
  if (signals.length === 0 && (before.open.length === 0 || !(isNewLine || isLook)))
    return { state, signals, changes: [] };

  const changes: IncidentEvent[] = [];
  const open = before.open.flatMap((entry) => {
    const own = signals.filter(({ rule }) => RULES[rule].kind === entry.incident.kind);
    const isCounted = entry.incident.kind === 'idle-gpu' ? isLook : isNewLine;
    const next: Step = isCounted || own.length > 0 ? follow(entry, own, state) : { entry };
    const kept = next.entry;
    if (next.change) changes.push({ type: 'incident', change: next.change, incident: kept.incident });
    return next.isOver ? [] : [kept];
  });
  for (const incident of openIncidents(signals, open, state)) {
    open.push({ incident, quietLines: 0 });
    changes.push({ type: 'incident', change: 'opened', incident });
    if (incident.state === 'diverged') changes.push({ type: 'incident', change: 'diverged', incident });
  }
  const iteration = detector.last?.iteration ?? 0;
  const notes = [...before.notes, ...signals.filter(({ level }) => level === 'info')]
    .filter((note) => note.iteration > iteration - NOTE_ITERATIONS && note.iteration <= iteration)
    .slice(-8);
  return { state: { ...state, open, notes }, signals, changes };
}

interface Step {
  readonly entry: OpenIncident;
  readonly change?: IncidentEvent['change'];
  readonly isOver?: boolean;
}

/** An open incident after a line, with the signals of its kind. */
function follow({ incident, quietLines }: OpenIncident, signals: readonly Signal[], state: MonitorState): Step {
  if (signals.length === 0) {
    const quiet = quietLines + 1;
    const enough = QUIET_LINES[incident.kind] ?? USUAL_QUIET_LINES;
    if (quiet >= enough) {
      const isDiverged = incident.state === 'diverged';
      const entry = { incident: isDiverged ? incident : { ...incident, state: 'closed' as const }, quietLines: quiet };
      return isDiverged ? { entry, isOver: true } : { entry, change: 'closed', isOver: true };
    }
    if (incident.state !== 'open' || enough === Number.POSITIVE_INFINITY)
      return { entry: { incident, quietLines: quiet } };
    return { entry: { incident: { ...incident, state: 'recovering' }, quietLines: quiet }, change: 'recovering' };
  }
  const isInfo = signals.every(({ level }) => level === 'info');
  const level = isCritical(signals) ? 'critical' : incident.level;
  const isDiverged = incident.state === 'diverged' || hasDiverged(signals);
  const base = {
    ...incident,
    level,
    state: isDiverged ? ('diverged' as const) : isInfo ? incident.state : ('open' as const),
    lastIteration: (signals.at(-1) as Signal).iteration,
    evidence: signals.reduce(addEvidence, incident.evidence),
  };
  const next = { ...base, proposal: proposeFor(base, state.detector) };
  const entry = { incident: next, quietLines: isInfo ? quietLines + 1 : 0 };
  if (isDiverged && incident.state !== 'diverged') return { entry, change: 'diverged' };
  if (level !== incident.level) return { entry, change: 'escalated' };
  return next.state === 'open' && incident.state === 'recovering' ? { entry, change: 'reopened' } : { entry };
}

/** New incidents, one for each kind that has a warning and is not open. */
function openIncidents(signals: readonly Signal[], open: readonly OpenIncident[], state: MonitorState): Incident[] {
  const kinds = new Set(signals.filter(({ level }) => level !== 'info').map(({ rule }) => RULES[rule].kind));
  for (const { incident } of open) kinds.delete(incident.kind);
  return [...kinds].map((kind) => openIncident(kind, signals, state));
}

function openIncident(kind: IncidentKind, signals: readonly Signal[], state: MonitorState): Incident {
  const isOwn = ({ rule }: Signal): boolean => RULES[rule].kind === kind;
  const own = signals.filter(isOwn);
  const [first] = own.filter(({ level }) => level !== 'info') as [Signal];
  const related = [...state.notes.filter(isOwn), ...own];
  const onset = Math.min(...related.map(({ iteration }) => iteration));
  const checkpoint = newestBefore(state, onset);
  const base = {
    id: `${kind}-${first.iteration}`,
    kind,
    level: isCritical(own) ? ('critical' as const) : ('warn' as const),
    state: hasDiverged(own) ? ('diverged' as const) : ('open' as const),
    title: RULES[first.rule].title,
    onset,
    openedAt: first.iteration,
    lastIteration: first.iteration,
    evidence: related.reduce(addEvidence, [] as readonly Evidence[]),
    ...(checkpoint ? { checkpoint } : {}),
  };
  return { ...base, proposal: proposeFor(base, state.detector) };
}

function addEvidence(evidence: readonly Evidence[], signal: Signal): readonly Evidence[] {
  const { rule, level, iteration, message, value, threshold } = signal;
  const known = evidence.find((item) => item.rule === rule);
  if (!known) {
    const numbers = { ...(value === undefined ? {} : { value }), ...(threshold === undefined ? {} : { threshold }) };
    return [
      ...evidence,
      { rule, level, firstIteration: iteration, lastIteration: iteration, count: 1, ...numbers, message },
    ];
  }
  const isWorse = value !== undefined && (known.value === undefined || value > known.value);
  const next = {
    ...known,
    ...(isWorse ? { value } : {}),
    level: LEVELS.indexOf(level) > LEVELS.indexOf(known.level) ? level : known.level,
    lastIteration: iteration,
    count: known.count + 1,
  };
  return evidence.map((item) => (item === known ? next : item));
}

const LEVELS = ['info', 'warn', 'critical'] as const;
const isCritical = (signals: readonly Signal[]): boolean => signals.some(({ level }) => level === 'critical');
const hasDiverged = (signals: readonly Signal[]): boolean => signals.some(({ rule }) => DIVERGED.includes(rule));

/** Newest last; those of iterations that are done again are no longer what they were. */
function addCheckpoint(known: readonly Checkpoint[], { iteration, directory }: Checkpoint): readonly Checkpoint[] {
  const earlier = known.filter((checkpoint) => checkpoint.iteration < iteration);
  return [...earlier, { iteration, directory }].slice(-MOST_CHECKPOINTS);
}

function newestBefore({ checkpoints, detector }: MonitorState, onset: number): Checkpoint | undefined {
  const newest = checkpoints.filter(({ iteration }) => iteration < onset).at(-1);
  const base = detector.config.baseCheckpoint;
  return newest ?? (base === undefined ? undefined : { iteration: 0, directory: base });
}
