import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { useJobChanges } from "../../api/live";
import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import { Answer, Empty } from "../../ui/Answer";
import { Title } from "../../ui/Title";
import { WriteButton } from "../../ui/WriteButton";
import { DatasetFacts } from "./DatasetFacts";
import { ImportDataset } from "./ImportDataset";

const DATASETS = graphql(`
	query Datasets {
		datasets {
			...DatasetFacts
		}
	}
`);

/** The data sets that networks are trained and measured on. */
export default function Datasets() {
	const datasets = useDocument(DATASETS, {});
	const [isImporting, setImporting] = useState(false);
	const { refetch } = datasets;
	// An import ends in the background.
	useJobChanges(refetch);
	return (
		<>
			<Title>Data sets</Title>
			<p>
				<WriteButton onClick={() => setImporting(true)}>Import</WriteButton>
			</p>
			{isImporting && <ImportDataset onClose={() => setImporting(false)} />}
			<Answer query={datasets} rows={4}>
				{({ datasets: all }) =>
					all.length === 0 ? (
						<Empty>There are no data sets yet.</Empty>
					) : (
						all.map((dataset) => (
							<section key={dataset.id} aria-label={dataset.name}>
								<h2>
									<Link to="/datasets/$name" params={{ name: dataset.name }}>
										<bdi>{dataset.name}</bdi>
									</Link>
								</h2>
								<DatasetFacts dataset={dataset} />
							</section>
						))
					)
				}
			</Answer>
		</>
	);
}
