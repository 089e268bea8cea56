import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useJobChanges } from "../../api/live";
import { queries, useChange, useDocument } from "../../api/queries";
import { request } from "../../api/request";
import { graphql } from "../../gql";
import type { BlockInput, JobStatus, TrainingProgressQuery } from "../../gql/graphql";
import { percent, words } from "../../ui/format";
import { Problem } from "../../ui/Problem";
import { READ_ONLY, useIsReadOnly, WriteButton } from "../../ui/WriteButton";
import { useDraft } from "./draft";
import { modelOf } from "./model";
import { Panel } from "./Panel";
import { TrainSettings } from "./TrainSettings";
import { type Started, useTraining, type Wanted } from "./training";

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

/** Names the request, so that it is known to be under way. */
const KEY = ["train"];

/** Trains the network as a version of a model, and shows how it goes. Whether it is valid may not be known yet. */
export function Train({ isValid }: { isValid: boolean | undefined }) {
	const { blocks, dataset } = useDraft();
	const { model, settings, started } = useTraining();
	const isReadOnly = useIsReadOnly();
	const train = useMutation({
		mutationKey: KEY,
		mutationFn: async (wanted: Wanted) => {
			const { model, blocks, ...others } = wanted;
			const input = { ...(await modelOf(model)), blocks: blocks as BlockInput[], ...others };
			const { job, version } = (await request(TRAIN, { input })).trainVersion;
			return { job: job.id, number: version.number, wanted };
		},
		onSuccess: (started) => useTraining.setState({ started }),
	});
	const progress = useDocument(PROGRESS, { job: started?.job ?? "" }, { enabled: started !== null });
	// Until the job is read, there may be the one before.
	const job = progress.data?.job?.id === started?.job ? progress.data?.job : undefined;
	const wanted = { model: model.trim(), dataset, blocks, settings };
	// The same again would be the same network.
	const isDone = started !== null && isSame(wanted, started.wanted) && !hasFailed(job?.status);
	return (
		<Panel id="train" title="Train">
			<form
				onSubmit={(event) => {
					event.preventDefault();
					// The second click of two may come before the button is disabled.
					if (queries.isMutating({ mutationKey: KEY }) === 0) train.mutate(wanted);
				}}
			>
				<label className="field">
					<span>Model, new or known</span>
					<input
						value={model}
						required
						maxLength={128}
						onChange={(event) => useTraining.setState({ model: event.target.value })}
					/>
				</label>
				<TrainSettings settings={settings} onChange={(settings) => useTraining.setState({ settings })} />
				<WriteButton type="submit" className="primary" disabled={!isValid || train.isPending || isDone}>
					Train
				</WriteButton>
				{isReadOnly && <p className="quiet">{READ_ONLY}</p>}
				{blocks.length === 0 && <p className="quiet">The network has no blocks yet.</p>}
				{isValid === false && <p className="quiet">The network has faults. Correct them first.</p>}
			</form>
			{train.error && <Problem error={train.error} />}
			{started && <Progress started={started} job={job} refetch={progress.refetch} />}
		</Panel>
	);
}

function isSame(one: Wanted, other: Wanted): boolean {
	return (["model", "dataset", "blocks", "settings"] as const).every((key) => one[key] === other[key]);
}

function hasFailed(status: JobStatus | undefined): boolean {
	return status === "FAILED" || status === "CANCELLED";
}

interface ProgressProps {
	started: Started;
	job: TrainingProgressQuery["job"] | undefined;
	refetch: () => Promise<unknown>;
}

function Progress({ started: { number, wanted }, job, refetch }: ProgressProps) {
	useJobChanges(refetch);
	const stop = useChange(STOP);
	if (!job) return null;
	const { id } = job;
	const { model } = wanted;
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
