import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { useJobChanges } from "../../api/live";
import { useChange, useDocument } from "../../api/queries";
import { request } from "../../api/request";
import { graphql } from "../../gql";
import type { BlockInput } from "../../gql/graphql";
import { percent, words } from "../../ui/format";
import { Problem } from "../../ui/Problem";
import { useDraft } from "./draft";
import { modelOf } from "./model";
import { DEFAULTS, TrainSettings } from "./TrainSettings";

const TRAIN = graphql(`
	mutation TrainVersion($input: TrainVersionInput!) {
		trainVersion(input: $input) {
			job {
				id
			}
			version {
				id
				number
			}
		}
	}
`);

const PROGRESS = graphql(`
	query TrainingProgress($job: ID!) {
		job(id: $job) {
			id
			status
			phase
			progress
			failure {
				message
			}
			epochs {
				epoch
				loss
				accuracy
				validationLoss
				validationAccuracy
			}
		}
	}
`);

const STOP = graphql(`
	mutation StopTraining($input: CancelJobInput!) {
		cancelJob(input: $input) {
			job {
				id
			}
		}
	}
`);

interface Started {
	job: string;
	model: string;
	number: number;
}

/** Trains the network as a version of a model, and shows how it goes. Whether it is valid may not be known yet. */
export function Train({ isValid }: { isValid: boolean | undefined }) {
	const { blocks, dataset } = useDraft();
	const [model, setModel] = useState("");
	const [settings, setSettings] = useState(DEFAULTS);
	const [started, setStarted] = useState<Started | null>(null);
	const train = useMutation({
		mutationFn: async () => {
			const name = model.trim();
			const input = {
				modelId: await modelOf(name),
				dataset,
				blocks: blocks as BlockInput[],
				settings,
			};
			const { job, version } = (await request(TRAIN, { input })).trainVersion;
			return { job: job.id, model: name, number: version.number };
		},
		onSuccess: setStarted,
	});
	return (
		<section className="train" aria-labelledby="train">
			<h2 id="train">Train</h2>
			<form
				onSubmit={(event) => {
					event.preventDefault();
					train.mutate();
				}}
			>
				<label className="field">
					<span>Model, new or known</span>
					<input value={model} required maxLength={128} onChange={(event) => setModel(event.target.value)} />
				</label>
				<TrainSettings settings={settings} onChange={setSettings} />
				<button type="submit" className="primary" disabled={!isValid || train.isPending}>
					Train
				</button>
				{blocks.length === 0 && <p className="quiet">The network has no blocks yet.</p>}
				{isValid === false && <p className="quiet">The network has faults. Correct them first.</p>}
			</form>
			{train.error && <Problem error={train.error} />}
			{started && <Progress started={started} />}
		</section>
	);
}

function Progress({ started: { job: id, model, number } }: { started: Started }) {
	const found = useDocument(PROGRESS, { job: id });
	const stop = useChange(STOP);
	const { refetch } = found;
	useJobChanges(refetch);
	const job = found.data?.job;
	if (!job) return null;
	const last = job.epochs.at(-1);
	const isUnderWay = job.status === "QUEUED" || job.status === "RUNNING";
	return (
		<div className="progress" role="status">
			<p>
				{isUnderWay ? words(job.phase) : words(job.status)}
				{last && `, epoch ${last.epoch}: loss ${last.loss.toFixed(3)}, training accuracy ${percent(last.accuracy)}`}
				{last?.validationAccuracy != null && `, validation accuracy ${percent(last.validationAccuracy)}`}
			</p>
			{isUnderWay && <progress value={job.progress} aria-label="Progress of the training" />}
			{job.epochs.length > 1 && (
				<Curve
					training={job.epochs.map((epoch) => epoch.loss)}
					validation={job.epochs.flatMap((epoch) => epoch.validationLoss ?? [])}
				/>
			)}
			{job.failure && <p className="fault">{job.failure.message}</p>}
			<p>
				{isUnderWay && (
					<button type="button" disabled={stop.isPending} onClick={() => stop.mutate({ input: { id } })}>
						Cancel
					</button>
				)}{" "}
				<Link to="/models/$model/versions/$number" params={{ model, number: String(number) }}>
					Open <bdi>{model}</bdi>, version {number}
				</Link>
			</p>
		</div>
	);
}

interface CurveProps {
	training: readonly number[];
	/** Empty if no images were kept out. */
	validation: readonly number[];
}

/** The loss by epoch: a line for the training images, and a dashed one for those that were kept out. */
function Curve({ training, validation }: CurveProps) {
	const most = Math.max(...training, ...validation);
	const points = (losses: readonly number[]) =>
		losses.map((loss, index) => `${(200 * index) / (losses.length - 1)},${58 - (56 * loss) / most}`).join(" ");
	const name = validation.length > 0 ? "Loss by epoch; dashed: of the validation images" : "Loss by epoch";
	return (
		<svg className="curve" viewBox="0 0 200 60" role="img" aria-label={name}>
			<title>{name}</title>
			<polyline points={points(training)} />
			{validation.length > 1 && <polyline className="validation" points={points(validation)} />}
		</svg>
	);
}
