import { defineConfig, mergeConfig } from 'vitest/config';
import shared from '../../vitest.shared.ts';

/** A hundred small files: loading the package anew for each of them takes as long as all tests together. */
export default mergeConfig(shared, defineConfig({ test: { isolate: false } }));
