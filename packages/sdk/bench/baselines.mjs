/**
 * What others do about loss spikes, as in plan-and-monitoring.md §2.1 and §2.2. Each takes the losses of a run, oldest first,
 * and gives the indices at which it alarms.
 */

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

/** Mean and standard deviation of the last 64 losses, z > 3. */
export function rollingZ(losses) {
  return indices(losses, (loss, index) => {
    if (index < 16) return false;
    const window = losses.slice(Math.max(0, index - 64), index);
    const mean = window.reduce((sum, value) => sum + value, 0) / window.length;
    const deviation = Math.sqrt(window.reduce((sum, value) => sum + (value - mean) ** 2, 0) / window.length);
    return loss > mean + 3 * deviation;
  });
}

/** ZClip's moving mean and variance (α 0.97, 25 of warm-up, z > 2.5), here of the loss; outliers are not learned. */
export function emaZ(losses) {
  let mean = 0;
  let variance = 0;
  return indices(losses, (loss, index) => {
    if (index < 25) {
      mean += (loss - mean) / (index + 1);
      variance += ((loss - mean) ** 2 - variance) / (index + 1);
      return false;
    }
    const isSpike = loss > mean + 2.5 * Math.sqrt(variance);
    if (!isSpike) {
      variance = 0.97 * variance + 0.03 * (loss - mean) ** 2;
      mean = 0.97 * mean + 0.03 * loss;
    }
    return isSpike;
  });
}

/** metaseq: 1.25 × a moving average of span 9; spikes are not learned (metaseq#521). */
export function metaseqRatio(losses) {
  let average = losses[0];
  return indices(losses, (loss, index) => {
    if (index === 0) return false;
    const isSpike = loss > 1.25 * average;
    if (!isSpike) average += 0.2 * (loss - average);
    return isSpike;
  });
}

/** Megatron's rerun state machine: ten times the largest of the first hundred. */
export function megatronTenfold(losses) {
  const bound = 10 * Math.max(...losses.slice(0, 100));
  return indices(losses, (loss, index) => index >= 100 && loss > bound);
}

/** Rule B1 with other numbers: `deviations` robust deviations and `factor` over the median of the last 64 clean losses. */
export function medianSpike(deviations, factor) {
  return (losses) => {
    const window = [];
    return indices(losses, (loss) => {
      if (window.length >= 16) {
        const middle = median(window);
        const deviation = Math.max(1.4826 * median(window.map((value) => Math.abs(value - middle))), 0.01 * middle);
        if (loss > middle + deviations * deviation && loss > factor * middle) return true;
      }
      window.push(loss);
      if (window.length > 64) window.shift();
      return false;
    });
  };
}

export const BASELINES = {
  'mean and σ, z > 3': rollingZ,
  'ZClip, z > 2.5': emaZ,
  'metaseq, × 1.25': metaseqRatio,
  'Megatron, 10 × max': megatronTenfold,
};

function indices(losses, isAlarm) {
  const found = [];
  for (let index = 0; index < losses.length; index++) if (isAlarm(losses[index], index)) found.push(index);
  return found;
}
