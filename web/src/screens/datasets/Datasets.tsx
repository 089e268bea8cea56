import { Link } from "@tanstack/react-router";
import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import { Answer, Empty } from "../../ui/Answer";
import { Title } from "../../ui/Title";
import { DatasetFacts } from "./DatasetFacts";

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
	return (
		<>
			<Title>Data sets</Title>
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
