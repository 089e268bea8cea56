import { Link } from "@tanstack/react-router";
import { useJobChanges } from "../api/live";
import { useDocument } from "../api/queries";
import { graphql } from "../gql";
import { words } from "../ui/format";
import { VersionLink } from "../ui/links";
import "./JobTray.css";

const RUNNING = graphql(`
	query RunningJobs {
		jobs(first: 20, filter: { statuses: [QUEUED, RUNNING] }) {
			totalCount
			nodes {
				id
				kind
				phase
				progress
				newDatasetName
				version {
					id
					number
					model {
						id
						name
					}
				}
			}
		}
	}
`);

/** What runs at the moment, live. */
export function Jobs() {
	const running = useDocument(RUNNING, {});
	const { refetch } = running;
	useJobChanges(refetch);
	const jobs = running.data?.jobs;
	if (!jobs || jobs.totalCount === 0) return null;
	return (
		<details className="tray">
			<summary aria-label={`${jobs.totalCount} jobs under way`}>
				<progress value={Math.max(...jobs.nodes.map((job) => job.progress))} aria-label="Progress" /> {jobs.totalCount}
			</summary>
			<ul>
				{jobs.nodes.map(({ id, kind, phase, progress, version, newDatasetName }) => (
					<li key={id}>
						{version ? (
							<VersionLink model={version.model.name} number={version.number} />
						) : (
							<>
								data set <bdi>{newDatasetName}</bdi>
							</>
						)}{" "}
						<span className="quiet">
							{words(kind)}, {words(phase)}
						</span>
						<progress
							value={progress}
							aria-label={`Progress of ${version?.model.name ?? `data set ${newDatasetName}`}`}
						/>
					</li>
				))}
			</ul>
			<Link to="/jobs">All jobs</Link>
		</details>
	);
}
