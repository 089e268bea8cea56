import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import { Facts } from "../../ui/Facts";
import { moment, percent, words } from "../../ui/format";

const TRAINING = graphql(`
	query Training($version: ID!) {
		version(id: $version) {
			id
			trainingCurve
			trainSettings {
				optimizer
				learningRate
				momentum
				weightDecay
				schedule
				epochs
				batchSize
				seed
				validationShare
			}
			epochs {
				epoch
				validationAccuracy
			}
			job {
				id
				startedAt
				finishedAt
			}
		}
	}
`);

/** How this server trained a version, if it did. */
export function Training({ version: id }: { version: string }) {
	const version = useDocument(TRAINING, { version: id }).data?.version;
	const settings = version?.trainSettings;
	if (!settings) return null;
	const { validationAccuracy } = version.epochs.at(-1) ?? {};
	const seconds = secondsBetween(version.job?.startedAt, version.job?.finishedAt);
	return (
		<section aria-labelledby="training">
			<h2 id="training">Training</h2>
			<Facts>
				{{
					Optimiser: settings.optimizer,
					"Learning rate": `${settings.learningRate}, ${words(settings.schedule)}`,
					...(settings.momentum != null && { Momentum: settings.momentum }),
					"Weight decay": settings.weightDecay,
					Epochs: settings.epochs,
					"Batch size": settings.batchSize,
					Seed: settings.seed,
					...(settings.validationShare > 0 && {
						"Kept out for validation": percent(settings.validationShare),
						"Validation accuracy": percent(validationAccuracy),
					}),
					...(version.job?.startedAt && { Began: moment(version.job.startedAt) }),
					...(seconds !== null && { Took: `${seconds} s` }),
				}}
			</Facts>
			{version.trainingCurve && (
				<img className="plot" src={version.trainingCurve} alt="Loss and accuracy by training epoch" />
			)}
		</section>
	);
}

function secondsBetween(start: string | null | undefined, end: string | null | undefined): number | null {
	return start && end ? Math.round((Date.parse(end) - Date.parse(start)) / 1_000) : null;
}
