import { create } from "zustand";
import type { TrainSettingsInput } from "../../gql/graphql";
import type { Network } from "./parse";

/** What is asked of a training. */
export interface Wanted extends Network {
	model: string;
	settings: TrainSettingsInput;
}

/** A training that was begun, and what was asked. */
export interface Started {
	job: string;
	number: number;
	wanted: Wanted;
}

interface Training extends Pick<Wanted, "model" | "settings"> {
	started: Started | null;
}

const DEFAULTS: TrainSettingsInput = {
	epochs: 10,
	learningRate: 0.001,
	batchSize: 64,
	optimizer: "ADAM",
	schedule: "CONSTANT",
	weightDecay: 0,
	seed: 0,
	validationShare: 0,
};

/** The form of the training and what came of it, which stay while the reader is on another screen. */
export const useTraining = create<Training>(() => ({ model: "", settings: DEFAULTS, started: null }));
