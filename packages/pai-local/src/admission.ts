/** What a job needs before its pods start: units of each resource, such as GPUs of a quota or machines of a type. */
export type Demand = Readonly<Record<string, number>>;

/** The queue of jobs for what is limited. */
export interface Admission {
  /**
   * Resolves when `demand` is free and taken for `jobId`; at once where nothing is limited. Of those that wait, the highest
   * priority is first, then who came first; nobody overtakes. A demand beyond the whole capacity waits for ever, in nobody's way.
   * Rejects with the reason of `signal`.
   */
  enter(jobId: string, demand: Demand, priority: number, signal: AbortSignal): Promise<void>;
  /** Moves a job that waits. */
  setPriority(jobId: string, priority: number): void;
  /** Gives back what `jobId` holds. */
  leave(jobId: string): void;
  /** Units that are taken. */
  inUse(resource: string): number;
  /** How many units there are; undefined: no limit. A change lets the queue move. */
  setCapacity(resource: string, units: number | undefined): void;
  capacityOf(resource: string): number | undefined;
}

export const quotaResource = (quotaId: string): string => `quota ${quotaId}`;
export const machineResource = (ecsSpec: string): string => `machines ${ecsSpec}`;

interface Waiting {
  readonly jobId: string;
  readonly demand: Demand;
  priority: number;
  admit(): void;
}

/** An admission with these capacities; resources without one are not limited. */
export function createAdmission(given: Demand = {}): Admission {
  const capacity = new Map(Object.entries(given));
  const held = new Map<string, Demand>();
  let waiting: Waiting[] = []; // in order of arrival

  const inUse = (resource: string): number =>
    [...held.values()].reduce((sum, demand) => sum + (demand[resource] ?? 0), 0);
  const limitOf = (resource: string): number => capacity.get(resource) ?? Number.POSITIVE_INFINITY;
  const isPossible = ({ demand }: Waiting): boolean =>
    Object.entries(demand).every(([resource, units]) => units <= limitOf(resource));
  const fits = ({ demand }: Waiting): boolean =>
    Object.entries(demand).every(([resource, units]) => inUse(resource) + units <= limitOf(resource));

  function admitAll(): void {
    const awaited = new Set<string>();
    for (const job of [...waiting].sort((a, b) => b.priority - a.priority)) {
      if (!isPossible(job)) continue;
      const resources = Object.keys(job.demand);
      if (fits(job) && !resources.some((resource) => awaited.has(resource))) job.admit();
      else for (const resource of resources) awaited.add(resource);
    }
  }
  return {
    enter(jobId, demand, priority, signal) {
      return new Promise((resolve, reject) => {
        signal.throwIfAborted();
        const job = { jobId, demand, priority, admit };
        const remove = (): void => {
          waiting = waiting.filter((other) => other !== job);
          signal.removeEventListener('abort', giveUp);
        };
        function admit(): void {
          remove();
          held.set(jobId, demand);
          resolve();
        }
        function giveUp(): void {
          remove();
          reject(signal.reason);
          admitAll();
        }
        waiting.push(job);
        signal.addEventListener('abort', giveUp, { once: true });
        admitAll();
      });
    },
    setPriority(jobId, priority) {
      for (const job of waiting) if (job.jobId === jobId) job.priority = priority;
      admitAll();
    },
    leave(jobId) {
      if (held.delete(jobId)) admitAll();
    },
    inUse,
    setCapacity(resource, units) {
      if (units === undefined) capacity.delete(resource);
      else capacity.set(resource, units);
      admitAll();
    },
    capacityOf: (resource) => capacity.get(resource),
  };
}
