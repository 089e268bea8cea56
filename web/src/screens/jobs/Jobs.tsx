import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo, useRef } from "react";
import { useJobChanges } from "../../api/live";
import { readAgain, useChange, useMore, usePages } from "../../api/queries";
import { graphql } from "../../gql";
import type { JobsQuery } from "../../gql/graphql";
import { JOB_STATES, type JobsSearch } from "../../search";
import { Answer, Empty } from "../../ui/Answer";
import type { Column } from "../../ui/columns";
import { Filters, SelectFilter } from "../../ui/Filters";
import { moment, words } from "../../ui/format";
import { VersionLink } from "../../ui/links";
import { Problem } from "../../ui/Problem";
import { Rows } from "../../ui/Rows";
import { Title } from "../../ui/Title";
import { WriteButton } from "../../ui/WriteButton";

const JOBS = graphql(`
	query Jobs($after: String, $statuses: [JobStatus!]!, $order: JobOrder) {
		jobs(first: 100, after: $after, filter: { statuses: $statuses }, orderBy: $order) {
			totalCount
			pageInfo {
				hasNextPage
				endCursor
			}
			nodes {
				id
				kind
				status
				phase
				progress
				createdAt
				failure {
					message
				}
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

const CANCEL = graphql(`
	mutation CancelJob($input: CancelJobInput!) {
		cancelJob(input: $input) {
			job {
				id
				status
			}
		}
	}
`);

const RETRY = graphql(`
	mutation RetryJob($input: RetryJobInput!) {
		retryJob(input: $input) {
			job {
				id
				status
			}
		}
	}
`);

type Job = JobsQuery["jobs"]["nodes"][number];

const ORDERS = {
	newest: ["CREATED_AT", "DESC"],
	oldest: ["CREATED_AT", "ASC"],
	started: ["STARTED_AT", "DESC"],
	finished: ["FINISHED_AT", "DESC"],
} as const;

const readJobs = (options: { cancelRefetch: boolean }) => readAgain({ queryKey: [JOBS.__meta__?.hash] }, options);

const route = getRouteApi("/jobs");

/** What runs in the background, what waits and what failed. */
export default function Jobs() {
	const { status, order = "newest" } = route.useSearch();
	const [field, direction] = ORDERS[order];
	const navigate = route.useNavigate();
	const shown = useRef(0);
	const jobs = usePages(JOBS, { statuses: status ? [status] : [], order: { field, direction } }, (data) => data.jobs, {
		shown,
	});
	const set = (change: Partial<Record<keyof JobsSearch, unknown>>) =>
		void navigate({ search: (before) => ({ ...before, ...change }) as JobsSearch, replace: true });
	useJobChanges(readJobs);
	const more = useMore(jobs);
	const cancel = useChange(CANCEL);
	const retry = useChange(RETRY);
	const error = cancel.error ?? retry.error;
	const columns = useMemo(() => columnsOf(cancel.mutate, retry.mutate), [cancel.mutate, retry.mutate]);
	return (
		<>
			<Title>Jobs</Title>
			<Filters>
				<SelectFilter
					label="State"
					value={status ?? ""}
					options={[["", "any"], ...JOB_STATES.map((name) => [name, words(name)] as const)]}
					onChange={(status) => set({ status: status || undefined })}
				/>
				<SelectFilter
					label="Order"
					value={order}
					options={[
						["newest", "newest first"],
						["oldest", "oldest first"],
						["started", "last started first"],
						["finished", "last finished first"],
					]}
					onChange={(order) => set({ order: order === "newest" ? undefined : order })}
				/>
			</Filters>
			{error && <Problem error={error} />}
			<Answer query={jobs} rows={8}>
				{({ pages }) => {
					const rows = pages.flatMap((page) => page.jobs.nodes);
					if (rows.length === 0) return <Empty>There are no such jobs.</Empty>;
					return (
						<Rows
							label="Jobs"
							columns={columns}
							rows={rows}
							rowKey={(job) => job.id}
							total={pages[0]?.jobs.totalCount}
							shown={shown}
							onEnd={more}
						/>
					);
				}}
			</Answer>
		</>
	);
}

/** Does something with a job. */
type Act = (variables: { input: { id: string } }) => void;

function columnsOf(cancel: Act, retry: Act): readonly Column<Job>[] {
	return [
		{
			name: "Subject",
			cell: ({ version, newDatasetName, status }) =>
				version ? (
					<VersionLink model={version.model.name} number={version.number} />
				) : newDatasetName && status === "SUCCEEDED" ? (
					<Link to="/datasets/$name" params={{ name: newDatasetName }}>
						data set <bdi>{newDatasetName}</bdi>
					</Link>
				) : (
					<>
						data set <bdi>{newDatasetName}</bdi>
					</>
				),
		},
		{ name: "Work", width: "9rem", cell: ({ kind }) => words(kind) },
		{
			name: "State",
			cell: ({ status, phase, progress, failure }) =>
				status === "RUNNING" ? (
					<>
						<progress value={progress} aria-label="Progress" /> {words(phase)}
					</>
				) : (
					<span title={failure?.message}>
						{words(status)}
						{failure && `: ${failure.message}`}
					</span>
				),
		},
		{ name: "Created", rank: 3, width: "11rem", cell: ({ createdAt }) => moment(createdAt) },
		{
			name: "Action",
			width: "6rem",
			cell: ({ id, kind, status, version, newDatasetName }) => {
				const worked = version ? `${version.model.name}, version ${version.number}` : `data set ${newDatasetName}`;
				const subject = `${words(kind)} of ${worked}`;
				if (status === "QUEUED" || status === "RUNNING") {
					return (
						<WriteButton aria-label={`Cancel: ${subject}`} onClick={() => cancel({ input: { id } })}>
							Cancel
						</WriteButton>
					);
				}
				if (status === "SUCCEEDED") return null;
				return (
					<WriteButton aria-label={`Retry: ${subject}`} onClick={() => retry({ input: { id } })}>
						Retry
					</WriteButton>
				);
			},
		},
	];
}
